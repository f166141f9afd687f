"""JSON Schema (2020-12) of the models, as OpenAPI and AsyncAPI documents refer to it.

A model's docstring becomes its description; the `msgspec.Meta` of a field, whose limits `codec` holds, its keywords. A
model is named as its class, or as its `SCHEMA_NAME` where the published name is an older one.
"""

from enum import Enum
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, Factory, field, fields, frozen, has
from msgspec import Meta

from orchestrator.models.common.unset import UNSET, without_unset

PREFIX: Final = "#/components/schemas/"
_PLAIN: Final[dict[Any, dict[str, Any]]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    dict: {"type": "object"},
}
_KEYWORDS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
}


@frozen
class Schemas:
    """Collects the schemas of models, each named once."""

    components: dict[str, dict[str, Any]] = field(factory=dict)

    def of(self, kind: Any, *, closed: bool = False) -> dict[str, Any]:
        """Return the schema of a type; models and enumerations are referred to by name.

        Args:
            kind: a model, an enumeration, or what their fields may be.
            closed: whether unknown fields are refused, as they are in what clients send.

        Raises:
            TypeError: the type has no schema.
        """
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            schema = self.of(without_unset(arguments[0]), closed=closed)
            for note in arguments[1:]:
                if isinstance(note, Meta):
                    schema = _limited(schema, note)
            return schema
        if origin in {Union, UnionType}:
            return {"anyOf": [self.of(option, closed=closed) for option in arguments]}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0], closed=closed)}
        if origin is dict:
            values = self.of(arguments[1], closed=closed)
            return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
        return self._named(kind, closed=closed)

    def _named(self, kind: Any, *, closed: bool) -> dict[str, Any]:
        name: str = getattr(kind, "SCHEMA_NAME", getattr(kind, "__name__", str(kind)))
        if name not in self.components:
            if isinstance(kind, type) and issubclass(kind, Enum):
                self.components[name] = {
                    "type": "string",
                    "enum": [member.value for member in kind],
                    "description": cleandoc(kind.__doc__ or ""),
                }
            elif isinstance(kind, type) and has(kind):
                self.components[name] = {}  # its own place, should it contain itself
                self.components[name].update(self._object(kind, closed=closed))
            else:
                raise TypeError(f"{kind!r} has no schema")
        return {"$ref": PREFIX + name}

    def _object(self, kind: type, *, closed: bool) -> dict[str, Any]:
        hints = get_type_hints(kind, include_extras=True)
        properties: dict[str, Any] = {}
        required = []
        for attribute in fields(kind):
            schema = self.of(hints[attribute.name], closed=closed)
            if attribute.default is NOTHING:
                required.append(attribute.name)
            elif (default := _plain(attribute.default)) is not None:
                schema["default"] = default
            properties[attribute.name] = schema
        schema = {"type": "object", "description": cleandoc(kind.__doc__ or ""), "properties": properties}
        if required:
            schema["required"] = required
        if closed:
            schema["additionalProperties"] = False
        return schema


def _limited(schema: dict[str, Any], meta: Meta) -> dict[str, Any]:
    """Add the keywords of a `Meta`: limits to every option but null, words to the whole."""
    limits = {_keyword(name, schema): value for name in _KEYWORDS if (value := getattr(meta, name)) is not None}
    if limits and "anyOf" in schema:
        options = [option if option.get("type") == "null" else _limited(option, meta) for option in schema["anyOf"]]
        schema = {"anyOf": options}
        limits = {}
    words: dict[str, Any] = {}
    if meta.description is not None:
        words["description"] = meta.description
    if meta.examples is not None:
        words["examples"] = meta.examples
    return {**schema, **limits, **words, **(meta.extra_json_schema or {})}


def _keyword(name: str, schema: dict[str, Any]) -> str:
    keyword = _KEYWORDS[name]
    return keyword.replace("Length", "Items") if schema.get("type") == "array" else keyword


def _plain(default: Any) -> Any:
    if default is UNSET:
        return None
    if isinstance(default, Enum):
        return default.value
    if isinstance(default, Factory):  # type: ignore[arg-type] # attrs declares this class as a function
        return None
    return default if isinstance(default, str | int | float) else None
