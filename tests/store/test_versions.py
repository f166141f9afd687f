"""What processes keep for each other while versions change: later fields are left out, damage is still told."""

import ast
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from msgspec import Meta

import orchestrator
from orchestrator.codec import structure, structure_kept
from orchestrator.errors import InvalidBody
from orchestrator.services.chat.turn_checkpoints import ExecutedTurn, ResumeState
from orchestrator.store.events.feed import Reference
from orchestrator.store.records import RecordDamaged, reading

ROOT: Final = Path(orchestrator.__file__).parent
READERS: Final = {"decode_kept", "structure_kept"}
OF_A_LATER_VERSION: Final = "of_a_later_version"
TEXTS: Final = ("x", "2026-01-01T00:00:00.000Z", "https://example.org/", "0 8 * * *")
SAMPLES: Final[dict[Any, Any]] = {str: "x", int: 1, float: 0.5, bool: True, Any: {"of": "any kind"}, NoneType: None}


def kinds_that_are_kept() -> Iterator[type]:
    """Yield what the code reads of what is kept, by the names that its calls have for it."""
    yield from (ExecutedTurn, ResumeState, Reference)
    for path in ROOT.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        names = {
            call.args[1].id
            for call in calls
            if isinstance(call.func, ast.Name) and call.func.id in READERS and isinstance(call.args[1], ast.Name)
        }
        module = ".".join(("orchestrator", *path.relative_to(ROOT).with_suffix("").parts))
        yield from (getattr(import_module(module), name) for name in names if name[0].isupper() and len(name) > 1)


KINDS: Final = sorted(set(kinds_that_are_kept()), key=lambda kind: kind.__name__)


def sample(kind: Any, **more: Any) -> Any:
    """Return plain data that are a `kind`, with `more` in every object that is one of our models."""
    inner, origin = get_args(kind), get_origin(kind)
    if attrs.has(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {one.name: sample(hints[one.name], **more) for one in attrs.fields(kind)} | more
    if origin is Annotated:
        patterns = [note.pattern for note in inner[1:] if isinstance(note, Meta) and note.pattern]
        found = sample(inner[0], **more)
        return next(text for text in TEXTS if fits(text, kind)) if patterns else found
    if origin in {Union, UnionType}:
        return sample(inner[0], **more)
    if origin in {list, tuple}:
        return [sample(inner[0], **more)]
    if origin is dict:
        return {"name": sample(inner[1], **more)}
    return next(iter(kind)).value if isinstance(kind, type) and issubclass(kind, Enum) else SAMPLES[kind]


def fits(text: str, kind: Any) -> bool:
    """Tell whether a text may be of this type."""
    one = attrs.make_class("One", {"text": attrs.field(type=kind)})
    try:
        structure({"text": text}, one)
    except InvalidBody:
        return False
    return True


def test_what_is_kept_is_of_many_kinds() -> None:
    assert len(KINDS) > 12


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_later_version_are_left_out(kind: type) -> None:
    later = sample(kind, **{OF_A_LATER_VERSION: {"deep": [1]}})
    assert structure_kept(later, kind) == structure(sample(kind), kind)
    with pytest.raises(InvalidBody, match=OF_A_LATER_VERSION):
        structure(later, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_or_of_the_wrong_type_is_damage_all_the_same(kind: type) -> None:
    whole = sample(kind)
    for name in [one.name for one in attrs.fields(kind) if one.default is attrs.NOTHING]:
        lacking = {field: value for field, value in whole.items() if field != name}
        for damaged in (lacking, whole | {name: [[]]}):
            if damaged is not lacking and structured_alike(damaged, kind):
                continue
            with pytest.raises(RecordDamaged), reading("record", "of the test"):
                structure_kept(damaged, kind)


def structured_alike(damaged: Any, kind: type) -> bool:
    """Tell whether clients may send this, too: a field of any kind."""
    try:
        structure(damaged, kind)
    except InvalidBody:
        return False
    return True


def test_no_store_reads_as_strictly_as_what_clients_send_is_read() -> None:
    imported = {
        (path.relative_to(ROOT).as_posix(), name.name)
        for path in (ROOT / "store").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "orchestrator.codec"
        for name in node.names
    }
    assert {entry for entry in imported if entry[1] in {"decode", "structure"}} == set()
