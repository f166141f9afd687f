"""What `doctor` asks the service for."""

from tests.support.credentials import ADMIN_KEY, bearer
from tests.support.served import service

ADMIN = {"X-API-Key": ADMIN_KEY}
I1 = "/internal/v1/"


async def test_a_tenant_is_checked_and_mended_by_the_service(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        await client.say(session_id)
        overview = (await client.call("GET", I1 + "orchestrator.check", headers=ADMIN)).data
        assert (overview["tenants"], overview["store"]["redis_version"][0] >= "7") == (["acme"], True)
        assert (await client.call("GET", I1 + "tenant.check/acme", headers=ADMIN)).data["faults"] == []
        stores = client.process.stores
        await stores.redis.srem(stores.keys.tenants, "acme")
        assert (await client.call("GET", I1 + "orchestrator.check", headers=ADMIN)).data["tenants"] == ["acme"]
        [fault] = (await client.call("GET", I1 + "tenant.check/acme", headers=ADMIN)).data["faults"]
        assert (fault["kind"], fault["mended"]) == ("tenant_unlisted", False)
        [fault] = (await client.call("POST", I1 + "tenant.repair/acme", headers=ADMIN)).data["faults"]
        assert fault["mended"] is True
        assert (await client.call("GET", I1 + "tenant.check/acme", headers=ADMIN)).data["faults"] == []
        assert (await client.call("GET", I1 + "tenant.check/acme", headers=bearer())).status == 401
