"""Keys that all tenants share: all of them are looked at, and each is put aside within its slot of Redis Cluster."""

import attrs
import pytest
from redis.crc import key_slot

from orchestrator.models.tasks.task import Lane
from orchestrator.store.consistency.key_types import KeyTypes, shared_types
from orchestrator.store.keys import Keys

TAGGED = Keys(hash_tags=True)


def test_every_key_of_the_whole_service_has_a_type() -> None:
    names = {field.name for field in attrs.fields(Keys) if field.type in {str, "str"}} | {"generation"}
    channels = {name for name in names if name.endswith("_channel")}
    assert shared_types(Keys()).keys() == {getattr(Keys(), name) for name in names - channels}


@pytest.mark.parametrize("key", sorted(shared_types(TAGGED)))
def test_a_key_of_the_whole_service_is_put_aside_in_its_own_slot(key: str) -> None:
    assert key_slot(TAGGED.damaged_shared(key).encode()) == key_slot(key.encode())


def test_a_key_of_a_tenant_is_put_aside_in_its_own_slot() -> None:
    for key in (TAGGED.lane("acme", Lane.HIGH), TAGGED.user_tasks("acme", "a{b}c"), TAGGED.events("acme", "s")):
        assert KeyTypes(TAGGED, "acme").of(key) is not None
        assert key_slot(TAGGED.damaged("acme", key).encode()) == key_slot(key.encode())
