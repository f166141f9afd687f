"""The load of the whole service."""

from attrs import evolve

from orchestrator.domain.load import sum_up
from orchestrator.models.operations.load import Node, NodeLoad

AT = "2026-01-01T00:00:00.000Z"
SAID = NodeLoad("a", "host", 1, "1.0", AT, slots=100, in_hand=5, claimed=9, ended=4)


def test_a_process_that_does_not_say_its_limit_counts_with_all_its_slots() -> None:
    loads = SAID, evolve(SAID, limit=6, loop_busy=0.9)
    load = sum_up(AT, [Node(str(number), 10, True, one) for number, one in enumerate(loads)], [], ready=0, top=5)
    assert (load.slots, load.limit) == (200, 106)
