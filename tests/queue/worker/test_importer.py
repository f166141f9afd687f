"""Entries of other programs on their way to become tasks: each in its turn, in a slot, and once."""

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from orchestrator.errors import StoreUnavailable
from orchestrator.models.tasks.task import Lane
from orchestrator.queue.worker import importer as under_test
from orchestrator.queue.worker.importer import Importer
from orchestrator.store.tasks.enqueue import ExternalEntry


def entry(number: int, tenant_id: str = "acme") -> ExternalEntry:
    return ExternalEntry(tenant_id, Lane.NORMAL, f"{number}-0", {})


@define
class Imports:
    """Notes what is imported, as far as it is let."""

    begun: list[str] = field(factory=list)
    done: list[str] = field(factory=list)
    may_go_on: trio.Event = field(factory=trio.Event)
    fault: Exception | None = None
    slots: Counter[str] = field(factory=Counter)
    doubted: list[str] = field(factory=list)

    async def __call__(self, _: object, one: ExternalEntry) -> None:
        self.begun.append(f"{one.tenant_id}/{one.entry}")
        await self.may_go_on.wait()
        if self.fault is not None:
            raise self.fault
        self.done.append(f"{one.tenant_id}/{one.entry}")

    def importer(self, nursery: trio.Nursery | None) -> Importer:
        services: Any = None
        made = Importer(services, self._begin, self._end, self.doubted.append)
        made.nursery = nursery
        return made

    def _begin(self, tenant_id: str) -> None:
        self.slots[tenant_id] += 1

    def _end(self, tenant_id: str) -> None:
        self.slots[tenant_id] -= 1


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Imports:
    made = Imports()
    monkeypatch.setattr(under_test, "import_entry", made)
    return made


async def test_entries_of_a_tenant_come_in_their_order_and_no_tenant_waits_for_another(imports: Imports) -> None:
    async with trio.open_nursery() as nursery:
        importer = imports.importer(nursery)
        await importer.take([entry(1), entry(2), entry(1, "globex")])
        await importer.take([entry(2), entry(3), entry(1)])
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(imports.begun) == ["acme/1-0", "globex/1-0"]
        assert (importer.in_hand, imports.slots["acme"], imports.slots["globex"]) == (4, 3, 1)
        imports.may_go_on.set()
    assert [one for one in imports.done if one.startswith("acme")] == ["acme/1-0", "acme/2-0", "acme/3-0"]
    assert (importer.in_hand, imports.slots.total(), imports.doubted) == (0, 0, [])


async def test_what_an_outage_has_kept_from_being_imported_is_to_be_taken_back(imports: Imports) -> None:
    imports.fault = StoreUnavailable("Redis is away.")
    imports.may_go_on.set()
    async with trio.open_nursery() as nursery:
        importer = imports.importer(nursery)
        await importer.take([entry(1), entry(2)])
    assert (imports.begun, imports.doubted) == (["acme/1-0"], ["acme"])
    assert (importer.in_hand, imports.slots.total()) == (0, 0)


async def test_a_crash_over_one_entry_keeps_no_other_waiting(imports: Imports) -> None:
    imports.fault = ZeroDivisionError()
    imports.may_go_on.set()
    async with trio.open_nursery() as nursery:
        await imports.importer(nursery).take([entry(1), entry(2)])
    assert (imports.begun, imports.slots.total(), imports.doubted) == (["acme/1-0", "acme/2-0"], 0, [])


async def test_a_stop_leaves_what_is_not_imported_to_other_processes(imports: Imports) -> None:
    async with trio.open_nursery() as nursery:
        importer = imports.importer(nursery)
        await importer.take([entry(1), entry(2)])
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (imports.done, importer.in_hand, imports.slots.total()) == ([], 0, 0)
    imports.may_go_on.set()
    importer.nursery = None
    await importer.take([entry(3)])
    assert imports.done == ["acme/3-0"]
