"""Tasks that fail together raise one exception."""

import pytest
import trio

from orchestrator.errors import BadGateway, FencedOut
from orchestrator.services.shared.nursery import open_joined_nursery


async def fail(error: Exception) -> None:
    raise error


async def fail_together(*errors: Exception) -> None:
    async with open_joined_nursery() as nursery:
        for error in errors:
            nursery.start_soon(fail, error)
        await trio.sleep_forever()


async def nothing_but_wait() -> None:
    async with open_joined_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(trio.sleep_forever)


async def test_one_failure_is_raised_as_itself() -> None:
    with pytest.raises(BadGateway):
        await fail_together(BadGateway("Broken."))


async def test_of_several_failures_the_most_specific_is_raised() -> None:
    with pytest.raises(FencedOut):
        await fail_together(BadGateway("Broken."), FencedOut(), ValueError("a bug"))


async def test_a_bug_is_not_hidden_behind_the_fault_of_a_service() -> None:
    with pytest.raises(ValueError, match="a bug"):
        await fail_together(BadGateway("Broken."), ValueError("a bug"))


async def test_a_cancellation_from_outside_stays_one() -> None:
    with trio.move_on_after(0) as scope:
        with pytest.raises(trio.Cancelled):
            await nothing_but_wait()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
