"""The configuration in YAML, a file or a folder. ``${NAME}`` in a value stands for an environment variable, which is
filled in here or by whoever uses the release: see :mod:`schemas.config.placeholders`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from connectors.config_files.document import Document
from connectors.config_files.explain import explain
from connectors.config_files.fault import ConfigurationError, Fault, Place
from connectors.config_files.layout import KINDS, read
from schemas.config.placeholders import WrittenRelease, known_as
from schemas.config.release import IDENTITY, Configuration, reference_faults

__all__ = ["ConfigurationError", "Fault", "LoadedConfiguration", "Place", "load", "load_configuration"]


@dataclass(frozen=True)
class LoadedConfiguration:
    """A valid configuration, as it is here and as it was written, and where everything in it was written."""

    configuration: Configuration
    written: WrittenRelease
    document: Document

    def place_of(self, kind: str, id: str | None = None, field: str | None = None) -> Place | None:  # noqa: A002
        """Where an entity's field is written, or the nearest part around it."""
        if (index := self._indexes.get((kind, id))) is None:
            return self.document.place_of((kind,))
        return self.document.place_of((kind, index) if field is None else (kind, index, field))

    @cached_property
    def _indexes(self) -> dict[tuple[str, str | None], int]:
        return {
            (kind, entity[IDENTITY[kind]]): index
            for kind in KINDS
            for index, entity in enumerate(self.document.data.get(kind, ()))
        }


def load_configuration(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read, fill in and check a configuration: see :func:`load`."""
    return load(path, environment).configuration


def load(path: Path, environment: Mapping[str, str]) -> LoadedConfiguration:
    """Read, fill in and check a configuration; ``path`` is a file or a folder.

    Raises:
        ConfigurationError: unreadable, not YAML, a variable that is not set, or an invalid entity. It has every fault,
            and no value of a variable.
    """
    document = read(path, environment)
    faults = document.faults
    try:
        configuration = Configuration.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        if not faults:
            written = WrittenRelease.of(configuration, document.raw)
            return LoadedConfiguration(known_as(configuration, written.release), written, document)
        details = []
    lists = {kind: found if isinstance(found := document.data.get(kind), list) else [] for kind in KINDS}
    told = {detail["loc"] for detail in details}
    # Pydantic compares entities only once each of them is valid.
    if between := [fault for fault in reference_faults(lists) if fault.get("loc") not in told]:
        details += ValidationError.from_exception_data("Configuration", between).errors(include_url=False)
    if document.incomplete:
        details = [
            d for d in details if d["type"] != "unknown_reference" and (d["type"], len(d["loc"])) != ("missing", 1)
        ]
    raise ConfigurationError.of(path, [*faults, *explain(document, details, path)])
