"""The JSON Schema of a configuration file, for editors."""

from __future__ import annotations

from typing import Any, Final

from schemas.config.release import Configuration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VARIABLE: Final = {
    "type": "string",
    "pattern": r"\$\{[A-Z][A-Z0-9_]*\}",
    "description": "A value with an environment variable in it.",
}
SCALARS: Final = ("string", "integer", "number", "boolean")
ABOUT: Final = ("title", "description", "default")


def editor_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the file with everything; a value may also be a text with ``${NAME}`` in it."""
    schema = _with_variables(Configuration.model_json_schema())
    return {"$schema": DIALECT, **schema, "$defs": {**schema.get("$defs", {}), "Variable": VARIABLE}}


def _with_variables(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in SCALARS and "const" not in node:
        about = {name: node[name] for name in ABOUT if name in node}
        constraints = {name: value for name, value in node.items() if name not in ABOUT}
        if constraints == {"type": "string"}:
            return node
        return {**about, "anyOf": [constraints, {"$ref": "#/$defs/Variable"}]}
    return {name: _part(name, value) for name, value in node.items()}


def _part(name: str, value: Any) -> Any:
    if name in ("properties", "$defs"):  # their keys are names, not keywords
        return {key: _with_variables(item) for key, item in value.items()}
    return value if name in ("default", "enum", "examples", "discriminator") else _with_variables(value)
