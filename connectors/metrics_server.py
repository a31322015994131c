"""The metrics page: ``/metrics`` for Prometheus."""

from __future__ import annotations

from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server


def serve(registry: CollectorRegistry, host: str, port: int) -> int:
    """Serve a registry in a thread of its own, for as long as the process lives; the port it has. 0 takes any.

    Raises:
        OSError: the port is taken, or the host is not this machine's.
    """
    server: WSGIServer
    server, _ = start_http_server(port, host, registry)
    return int(server.server_port)
