"""The configuration in a YAML file. ``${NAME}`` in it stands for an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from schemas.config import Configuration

VARIABLE: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class ConfigurationError(Exception):
    """The configuration cannot be used; the message names the file and every fault in it."""


def load_configuration(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read, fill in and check a configuration.

    Raises:
        ConfigurationError: unreadable, not YAML, a variable that is not set, or an invalid entity.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; set LEADLINE_CONFIG to a configuration file") from None
    missing = sorted({name for name in VARIABLE.findall(text) if name not in environment})
    if missing:
        raise ConfigurationError(f"{path}: set {', '.join(missing)} in the environment")
    try:
        document = yaml.safe_load(VARIABLE.sub(lambda match: environment[match[1]], text))
        return Configuration.model_validate(document)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
        raise ConfigurationError("\n".join([f"{path} has {len(faults)} faults:", *faults])) from None
