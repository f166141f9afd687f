"""The register of owners: what a name stands for belongs to the first user who had it, for a time."""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from orchestrator.store.keys import Keys
from orchestrator.store.plans.ownership import OwnershipStore, Registered
from orchestrator.store.redis.connection import Redis, open_redis

SECONDS = 600


@frozen
class Register:
    """The register, and the place of the one conversation that the tests speak of."""

    redis: Redis
    store: OwnershipStore
    place: str = Keys().owner("acme", Registered.CONVERSATION, "c-1")

    async def take(self, user_id: str) -> bool:
        return await self.store.register("acme", Registered.CONVERSATION, "c-1", user_id, SECONDS)


@pytest.fixture
async def register(redis_url: str) -> AsyncIterator[Register]:
    async with open_redis(redis_url) as redis:
        yield Register(redis, OwnershipStore(redis, Keys(), 1000))


async def test_a_conversation_is_that_of_the_user_who_registers_it_first(register: Register) -> None:
    assert await register.take("ann")
    assert not await register.take("bob")
    assert await register.store.of_conversation("acme", "c-1") == "ann"
    assert await register.store.of_conversation("globex", "c-1") is None


async def test_its_time_begins_again_with_each_registration_of_its_user_alone(register: Register) -> None:
    await register.take("ann")
    await register.redis.expire(register.place, 10)
    await register.take("bob")
    assert await register.redis.ttl(register.place) <= 10
    await register.take("ann")
    assert await register.redis.ttl(register.place) > 10


async def test_what_cannot_be_read_in_its_place_belongs_to_none_that_asks(register: Register) -> None:
    await register.redis.rpush(register.place, "odd")
    assert not await register.take("ann")
    assert await register.redis.lrange(register.place, 0, -1) == [b"odd"]


async def test_it_takes_what_a_turn_in_hand_registers_also_where_redis_is_out_of_memory(register: Register) -> None:
    await register.redis.config_set("maxmemory", 1)
    try:
        assert await register.take("ann")
    finally:
        await register.redis.config_set("maxmemory", 0)
