"""Consumer groups of streams."""

from orchestrator.store.redis.connection import Dedicated, Redis
from orchestrator.store.redis.errors import GroupExists


async def ensure_group(client: Redis | Dedicated, stream: str, group: str) -> None:
    """Create a stream's consumer group where it is missing, and the stream with it; the group reads from the start.

    Raises:
        RedisAway, TenantDamaged
    """
    try:
        await client.execute_command("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
    except GroupExists:
        return
