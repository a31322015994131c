"""The configuration in a YAML file. ``${NAME}`` in a value stands for an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from schemas.config.release import Configuration

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
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start + 1}") from None
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-45
        raise ConfigurationError(f"{path}: not YAML: {error}") from None
    missing: set[str] = set()
    # Filled in after parsing: a value can neither change the structure nor show in the parser's errors.
    document = _filled(document, environment, missing)
    if missing:
        raise ConfigurationError(f"{path}: set {', '.join(sorted(missing))} in the environment")
    try:
        return Configuration.model_validate(document)
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
        count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
        raise ConfigurationError("\n".join([f"{path} has {count}:", *faults])) from None


def _filled(node: Any, environment: Mapping[str, str], missing: set[str]) -> Any:
    if isinstance(node, str):
        missing.update(name for name in VARIABLE.findall(node) if name not in environment)
        return VARIABLE.sub(lambda match: environment.get(match[1], ""), node)
    if isinstance(node, dict):
        return {key: _filled(value, environment, missing) for key, value in node.items()}
    return [_filled(value, environment, missing) for value in node] if isinstance(node, list) else node
