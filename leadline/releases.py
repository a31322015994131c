"""Releases for commands and workers: which is in force, what a file differs from it, and waiting for the first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException

from connectors.config_file import ConfigurationError, LoadedConfiguration, load
from connectors.kafka import release_log
from connectors.kafka.release_log import ReleaseFollower
from leadline.errors import CommandError
from leadline.stack.files import local_file
from schemas.config.history import Applied, ReleaseHistory, UnknownReleaseError
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease
from schemas.config.release import Configuration
from schemas.settings import Settings
from schemas.topics import CONFIG

log = structlog.get_logger(__name__)

FEWEST_DIGITS: Final = 4
"""Of a release's hash, where that is enough to tell it from others."""
REMINDER_SECONDS: Final = 60.0
APPLY: Final = "`leadline config apply` puts one in force."
MISSING: Final = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})  # noqa: SLF001  # public


def path_of(settings: Settings) -> Path:
    """The configuration of the settings, else the local demonstration's."""
    return settings.config or local_file("config.yaml")


def variables_of(settings: Settings) -> dict[str, str]:
    """What placeholders are filled in from: the environment, and where the local sandbox buyer is."""
    known = {} if settings.sandbox_url is None else {"LEADLINE_SANDBOX_URL": settings.sandbox_url}
    return known | os.environ


def load_file(settings: Settings, path: Path | None = None) -> LoadedConfiguration:
    """A configuration to look at or to apply, by default the settings' own. The demonstration's can be looked at before
    its stack runs.

    Raises:
        ConfigurationError: it has faults.
    """
    nowhere = {"LEADLINE_SANDBOX_URL": f"http://127.0.0.1:{settings.sandbox_port}"}
    return load(path or path_of(settings), nowhere | variables_of(settings))


def history_of(bootstrap: str) -> ReleaseHistory:
    """Every release there is.

    Raises:
        CommandError: the topic is not there.
        KafkaException: the broker does not answer.
    """
    try:
        return release_log.read_history(bootstrap)
    except KafkaException as error:
        if error.args[0].code() in MISSING:
            raise _no_topic() from None
        raise


def in_force(history: ReleaseHistory) -> WrittenRelease:
    """The release in force.

    Raises:
        CommandError: there is none.
    """
    if history.current is None:
        raise CommandError("No release is in force.", APPLY)
    return history.written(history.current)


def named(history: ReleaseHistory, name: str) -> WrittenRelease:
    """The release of a hash, or of the first digits of one.

    Raises:
        CommandError: there is none, or more than one.
    """
    found = [release for release in history.releases if release.startswith(name)]
    if len(found) == 1 and len(name) >= FEWEST_DIGITS:
        return history.written(found[0])
    if len(found) > 1:
        raise CommandError(f"{name} may be {', '.join(found)}.", "Give more of its digits.")
    raise CommandError(f"No release {name} was ever in force.", "`leadline config history` lists those that were.")


def apply_first(settings: Settings, bootstrap: str) -> None:
    """Put the settings' configuration in force if nothing is.

    Raises:
        ConfigurationError: nothing is, and it has faults.
    """
    if history_of(bootstrap).current is not None:
        return
    path = path_of(settings)
    written = load_file(settings, path).written
    release_log.apply(
        bootstrap, written, at=datetime.now(UTC), author="leadline up", message=f"first, from {path.name}"
    )


def notice(settings: Settings, bootstrap: str) -> str:
    """What to know where the settings' configuration is not what is in force; empty where it is."""
    history, path = history_of(bootstrap), path_of(settings)
    if history.current is None:
        return f"No release is in force. {APPLY}"
    try:
        release = load_file(settings, path).written.release
    except ConfigurationError:
        return f"{path} cannot be used: `leadline config check {path}`. Release {history.current} stays in force."
    if release == history.current:
        return ""
    return (
        f"In force is release {history.current}; {path} is release {release}."
        f" `leadline config diff {path}` shows the difference, `leadline config apply {path}` puts it in force."
    )


class FollowedRelease:
    """The configuration of a worker, as the topic says; see :class:`ReleaseFollower`."""

    def __init__(
        self,
        bootstrap: str,
        environment: Mapping[str, str],
        prepare: Callable[[Configuration], None],
    ) -> None:
        self.on_failure: Callable[[BaseException], None] = self._keep
        """Gets what ends the following. Until it is set, :meth:`wait` raises that."""
        self._failure: BaseException | None = None
        self._changed = threading.Event()
        self._follower: ReleaseFollower | None = None
        try:
            self._follower = ReleaseFollower(bootstrap, environment, self._told, self._failed, prepare)
        except KafkaException as error:
            if error.args[0].code() in MISSING:
                raise _no_topic() from None
            raise

    def wait(self) -> None:
        """Return once a release is in force.

        Raises:
            KafkaException: the topic can no longer be read.
        """
        while self.follower.current is None:
            log.warning("no release that can be used is in force: waiting for one", hint=APPLY)
            self._changed.wait(REMINDER_SECONDS)
            self._changed.clear()
            if self._failure is not None:
                raise self._failure

    @property
    def current(self) -> Configuration:
        """The configuration in force."""
        found = self.follower.current
        assert found is not None  # noqa: S101  # it was waited for
        return found

    @property
    def follower(self) -> ReleaseFollower:
        """What follows."""
        assert self._follower is not None  # noqa: S101  # made with this object
        return self._follower

    def _told(self, applied: Applied, error: Exception | None) -> None:
        if error is None:
            log.info("release in force", release=applied.release, number=applied.number)
        else:
            kept = None if self._follower is None or self._follower.current is None else self._follower.current.release
            # Whatever else went wrong with it may quote what a variable stands for.
            detail = (
                str(error) if isinstance(error, (UnusableReleaseError, UnknownReleaseError)) else type(error).__name__
            )
            log.error(
                "release refused",
                release=applied.release,
                number=applied.number,
                stays=kept,
                reason=detail,
                hint=f"`leadline config show --release {applied.release}` shows it; `leadline config apply` another.",
            )
        self._changed.set()

    def _failed(self, error: Exception) -> None:
        self.on_failure(error)

    def _keep(self, error: BaseException) -> None:
        self._failure = error
        self._changed.set()


def _no_topic() -> CommandError:
    return CommandError(f"The topic {CONFIG.name} is not on this cluster.", "`leadline topics apply` makes it.")
