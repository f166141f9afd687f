"""Cursors that no list has given: well encoded, and with a place in them that is in no order."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from itertools import product
from typing import Final

import pytest

from orchestrator.models.common.ids import new_id
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import PREFIXES, Access, Route
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY
from tests.support.served import Client, service

PAGED: Final = list({route.name: route for route in ROUTES if route.paged}.values())
"""Each list once: operators and users read the same ones by different credentials."""
MOST: Final = 2**64 - 1
NUMBERS: Final = (0, 2**53)
PHASES: Final = (4, 5)
"""Of an export, which goes on differently in each."""
NAMES: Final = (
    *("", "x", "0", "-1", "1.5", "1e3", "٣", "1_0", "9" * 400, "0-0", "0-1", "1-", "1-1", f"{MOST}-{MOST}", str(MOST)),
    *(str(MOST + 1), "(", "\x00", "\n", "*", "1@", "1@x", f"{MOST}@s"),
)
FAULTS: Final = {409, 500}
"""What would blame a tenant's data, or the service, for the cursor."""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        for _ in range(2):
            await client.say(await client.session())
        yield client


@pytest.mark.parametrize("route", PAGED, ids=lambda route: f"{route.access}-{route.name}")
async def test_a_forged_place_is_refused_or_leads_to_a_page(client: Client, route: Route) -> None:
    own = {"tenant_id": "acme"}.get(route.id_name or "", new_id())
    path = f"{PREFIXES[route.access]}{route.name}" + (f"/{own}" if route.id_name else "")
    key = ADMIN_KEY if route.access in {Access.ADMIN, Access.OPERATOR} else INTERNAL_KEY
    headers = None if route.access is Access.BEARER else {"X-API-Key": key, "X-Tenant-ID": "acme"}
    answers = {}
    for number, name in product((*NUMBERS, *(PHASES if route.name == "tenant.export" else ())), NAMES):
        place = f"{number}:{name}"
        cursor = urlsafe_b64encode(place.encode()).decode().rstrip("=")
        reply = await client.call(route.method, f"{path}?cursor={cursor}", headers=headers)
        answers[place] = reply.status
    assert {place: status for place, status in answers.items() if status in FAULTS} == {}
