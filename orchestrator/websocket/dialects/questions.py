"""Questions of workflows to their users, with the kind of answer that a form needs to know."""

from typing import Annotated, Any, Final

from attrs import field, frozen
from msgspec import Meta

from orchestrator.dialects.news import QUESTION

_TYPES: Final = {"boolean": "boolean", "integer": "number", "number": "number", "object": "form", "array": "list"}
"""The kind of an answer, by the type in its JSON Schema."""


@frozen
class Question:
    """What stands beside the question of a workflow."""

    request_id: Annotated[str, Meta(description="The engine's own name of the question; else `node_id`.")]
    input_type: Annotated[
        str, Meta(description="As the engine says it; else `select` where there are options, or by the schema's type.")
    ]
    options: Annotated[list[Any], Meta(description="What there is to choose from, such as `{value, label}`.")] = field(
        factory=list
    )
    timeout_ms: Annotated[
        int | None, Meta(description="How long the answer is waited for; null: as long as the workflow lasts.")
    ] = None
    required: bool = True


def question_of(data: dict[str, Any]) -> Question:
    """Return what a form needs: as the engine has said it, else as far as the schema of the answer tells it."""
    schema = data.get("schema") or {}
    told = {name: schema[place] for name, place in QUESTION.items() if schema.get(place) is not None}
    said = told | {name: value for name, value in data.items() if value is not None}
    options = said.get("options", _options(schema))
    kind = "select" if options else _TYPES.get(str(schema.get("type")), "text")
    return Question(
        said.get("request_id", data["node_id"]),
        said.get("input_type", kind),
        options,
        said.get("timeout_ms"),
        said.get("required", True),
    )


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    named = schema.get("oneOf") or schema.get("anyOf") or []
    if isinstance(named, list) and named and all(isinstance(one, dict) and "const" in one for one in named):
        return [{"value": one["const"], "label": str(one.get("title", one["const"]))} for one in named]
    values = schema.get("enum")
    return [{"value": value, "label": str(value)} for value in values] if isinstance(values, list) else []
