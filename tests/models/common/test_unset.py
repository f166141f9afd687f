"""A field of a change that is left out is neither a value nor null."""

from typing import Annotated, Any

import pytest
from attrs import asdict, frozen
from msgspec import Meta

from orchestrator.codec import structure
from orchestrator.errors import InvalidBody
from orchestrator.models.common.unset import UNSET, Unset, without_unset
from orchestrator.models.operations.tenant import TenantSettings
from orchestrator.schemas import Schemas


@frozen
class Change:
    """A change."""

    figure: Annotated[int | Unset | None, Meta(ge=1, description="A figure.")] = UNSET
    name: Annotated[str | Unset, Meta(min_length=1)] = UNSET


@pytest.mark.parametrize(
    ("sent", "figure", "name"),
    [({}, UNSET, UNSET), ({"figure": None}, None, UNSET), ({"figure": 7, "name": "x"}, 7, "x")],
)
def test_what_is_left_out_is_unset_and_null_is_null(sent: dict[str, Any], figure: object, name: object) -> None:
    change = structure(sent, Change)
    assert (change.figure, change.name) == (figure, name)


@pytest.mark.parametrize("sent", [{"figure": "unset"}, {"figure": 0}, {"name": None}, {"name": ""}], ids=str)
def test_nothing_that_is_sent_reads_as_unset(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidBody):
        structure(sent, Change)


def test_a_schema_does_not_know_of_it() -> None:
    schemas = Schemas()
    schemas.of(Change)
    properties = schemas.components["Change"]["properties"]
    assert [option["type"] for option in properties["figure"]["anyOf"]] == ["integer", "null"]
    assert properties["name"] == {"type": "string", "minLength": 1}
    assert "unset" not in str(schemas.components).lower()
    assert without_unset(int | None) == int | None


def test_an_empty_change_of_a_tenant_changes_nothing() -> None:
    assert set(asdict(structure({}, TenantSettings)).values()) <= {UNSET, None}
    assert structure({}, TenantSettings).weight is UNSET
    assert structure({"tier": None}, TenantSettings).tier is None
    with pytest.raises(InvalidBody):
        structure({"tier": "unset"}, TenantSettings)
