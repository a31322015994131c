"""Delivery's effects, carried out: each campaign's delivery method by its connector."""

from __future__ import annotations

import aiohttp

from connectors.outbound import direct_post
from connectors.outbound.contract import Answer
from streams.delivery.stage import Post


class Poster:
    """Performs posts over one HTTP session."""

    def __init__(self, connections: int = 400, connections_per_host: int = 64) -> None:
        # Neither proxies nor credentials of the surroundings: a post goes where the campaign says and nowhere else.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, limit_per_host=connections_per_host),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __call__(self, post: Post) -> Answer:
        body = direct_post.lead_body(post.lead_id, post.vertical, post.lead)
        return await direct_post.post(self._session, post.campaign.delivery, post.key, body)

    async def close(self) -> None:
        """End the session."""
        await self._session.close()
