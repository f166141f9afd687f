"""Keys that all tenants share: where one of them is damaged, the service can't work, and no tenant is to blame."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from orchestrator.errors import TenantDamaged
from orchestrator.store.redis.errors import REFUSES, RedisAway

P = ParamSpec("P")
T = TypeVar("T")


def on_shared_keys(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Make what Redis refuses for the state of shared keys an outage, for a method that uses no other keys."""

    @wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except TenantDamaged as error:
            raise RedisAway(f"{REFUSES}{error}", sent=True) from error

    return guarded
