"""The types of keys by their names: what stands in the place of one and is of another type keeps the rest from working.

Records of tasks, sessions, batches and schedules are not among them: these are read to see what is wrong with them.
"""

import re
from typing import Final

from orchestrator.store.keys import Keys

_ONE: Final = r"[^:]+"
_OF_TENANT: Final = {
    "stream": (
        rf"session:T:{_ONE}:(events|history)",
        r"tasks:T(:high|:low|:parked)?",
        rf"(task|batch):T:{_ONE}:events",
        r"dlq:T",
        r"feed:T:events",
        rf"notifications:T(:{_ONE}:events)?",
        r"audit:tenant:T:(administration|activity|refusals)",
    ),
    "list": (
        rf"session:T:{_ONE}:(events:packed|turns|states)",
        rf"tasks:T:user:{_ONE}",
        rf"callbacks:T:{_ONE}",
    ),
    "zset": (
        rf"sessions:T(:user:{_ONE}|:timers|:open|:ended)?",
        r"tasks:T:(delayed|index|index:failed|index:cancelled|index:partial)",
        r"batches:T",
        r"schedules:T(:due)?",
        rf"notifications:T:{_ONE}:(order|expiry)",
        r"calls:T",
        rf"cache:T(:{_ONE})?",
    ),
    "hash": (
        r"sessions:T:turns",
        r"tasks:T:(users|cursors)",
        rf"batch:T:{_ONE}:(items|results)",
        r"batches:T:waiting",
        r"(feed|kept|dropped):T",
        rf"notifications:T:{_ONE}(:bodies|:acks)?",
        r"tenant:T:config",
        rf"usage:T:\d+(:users|:sessions|:user:{_ONE})?",
        r"budget:T:\d+",
        rf"call:T:{_ONE}",
        r"calls:T:models",
        rf"cache:T:{_ONE}:{_ONE}:lease",
        rf"message:T:{_ONE}(:{_ONE})?",
    ),
    "set": (rf"batch:T:{_ONE}:window", r"kept:T:told", rf"notification:T:{_ONE}"),
    "string": (
        r"tasks:T:index:whole",
        rf"task:T:{_ONE}:text",
        r"limits:T(:.+)?",
        rf"usage:T:settled:{_ONE}",
        rf"cache:T:{_ONE}:{_ONE}",
        rf"owner:T:{_ONE}:{_ONE}",
    ),
}
_SHARED: Final = {
    "tenants": "set",
    "ready": "zset",
    "debts": "zset",
    "clock": "string",
    "weights": "hash",
    "due": "zset",
    "doubts": "zset",
    "task_update_stream": "stream",
    "memory_walk": "hash",
    "nodes": "zset",
    "loads": "hash",
    "revocations": "zset",
    "notices": "stream",
    "audit": "stream",
    "audit_copies": "list",
    "audit_refusals": "stream",
    "audit_keys": "stream",
    "audit_tenants": "zset",
    "intake": "stream",
    "intake_reader": "string",
    "api_keys": "hash",
    "api_key_uses": "hash",
    "generation": "string",
}
"""Keys of the whole service, by their names in `store.keys`."""


class KeyTypes:
    """The types of the keys of a tenant.

    Args:
        keys: the names of keys.
        tenant_id: whose.
    """

    def __init__(self, keys: Keys, tenant_id: str) -> None:
        tenant = re.escape(keys.tenant(tenant_id))
        self._kinds = [
            (re.compile(f"orchestrator:(?:{'|'.join(patterns)})".replace(":T", f":{tenant}")), kind)
            for kind, patterns in _OF_TENANT.items()
        ]

    def of(self, key: str) -> str | None:
        """Return the type that a key of the tenant has; None: it is none of those that are looked at."""
        return next((kind for pattern, kind in self._kinds if pattern.fullmatch(key)), None)


def shared_types(keys: Keys) -> dict[str, str]:
    """Return the types of the keys that all tenants share, by key."""
    return {getattr(keys, name): kind for name, kind in _SHARED.items()}
