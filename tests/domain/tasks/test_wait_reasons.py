"""Why a task waits: one reason, and one sentence."""

from typing import Any

import pytest

from orchestrator.domain.tasks.wait_reasons import estimate, explain
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.timeline import WaitFacts, WaitReason

QUEUED: dict[str, Any] = {"status": TaskStatus.PENDING, "queued": True, "processes": 2, "slots": 20, "slots_used": 5}


def facts(**changes: Any) -> WaitFacts:
    return WaitFacts(**{"task_id": "t1", "now_ms": 1_000_000, **QUEUED, **changes})


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"status": TaskStatus.COMPLETED}, WaitReason.ENDED, "It has ended: completed."),
        (
            {"status": TaskStatus.PROCESSING, "node": "n1", "claimed_at_ms": 5},
            WaitReason.IN_HAND,
            "It is in hand on process n1.",
        ),
        (
            {"queued": False, "turns_before": 1, "active_task_id": "t0"},
            WaitReason.SESSION,
            "It waits for 2 turns of its session before it; the active one is t0.",
        ),
        ({"queued": False, "users_before": 0}, WaitReason.USER, "It waits behind 1 task of the same user."),
        (
            {"status": TaskStatus.WAITING, "queued": False, "waiting_for": "call-1", "due_ms": 0},
            WaitReason.CLIENT_TOOL,
            "It waits for its client's tool (call-1), until 1970-01-01T00:00:00.000Z at the latest.",
        ),
        (
            {"status": TaskStatus.RETRYING, "queued": False, "due_ms": 0},
            WaitReason.DELAYED,
            "It failed and starts over at 1970-01-01T00:00:00.000Z at the earliest.",
        ),
        (
            {"status": TaskStatus.RETRYING, "queued": False, "due_ms": 0, "failed_with": "ORCH_CONN_001: It is away"},
            WaitReason.DELAYED,
            "It failed (ORCH_CONN_001: It is away) and starts over at 1970-01-01T00:00:00.000Z at the earliest.",
        ),
        (
            {"queued": False, "parked": True},
            WaitReason.PARKED,
            "It was put aside while its tenant is drained; a resume puts it back.",
        ),
        (
            {"queued": False},
            WaitReason.NOWHERE,
            "It is in no queue; 'nooble-orch doctor --repair' puts it back.",
        ),
        (
            {"tenant_state": "paused", "ahead": 3},
            WaitReason.PAUSED,
            "Its tenant is paused: nothing starts until it is resumed.",
        ),
        ({"processes": 0}, WaitReason.NO_PROCESS, "No process of the service is alive."),
        (
            {"concurrency": 4, "in_hand": 4, "ahead": 1},
            WaitReason.CONCURRENCY,
            "Its tenant runs 4 of 4 tasks at once, and has 1 task before it.",
        ),
        (
            {"start_rate": 2.5, "start_wait_ms": 300, "ahead": 2},
            WaitReason.START_RATE,
            "Its tenant may start 2.5 tasks a second, and has 2 tasks before it.",
        ),
        (
            {"slots_used": 20, "ahead": 1000, "ahead_is_more": True},
            WaitReason.NO_SLOT,
            "All 20 slots of 2 processes are taken, and its tenant has over 1000 tasks before it.",
        ),
        (
            {"ahead": 7, "share_used_up": True, "tenant_share": 0.9, "slots_used": 18},
            WaitReason.SHARE,
            "Its tenant has its share of the slots (0.9), and 7 tasks before it; what is free is kept for others.",
        ),
        ({"ahead": 7}, WaitReason.QUEUE, "Its tenant has 7 tasks before it; 15 slots are free."),
        ({}, WaitReason.NEXT, "Nothing keeps it; it is the next to be claimed."),
    ],
)
def test_the_first_thing_that_keeps_a_task_is_told(changes: dict[str, Any], reason: WaitReason, says: str) -> None:
    told = explain(facts(**changes))
    assert (told.reason, told.says) == (reason, says)


def test_a_start_is_estimated_by_recent_starts() -> None:
    # 11 starts in 10 s are one a second; four are before it.
    assert estimate(facts(starts=11, starts_span_ms=10_000, ahead=4)) == 1_000_000 + 5000


@pytest.mark.parametrize(
    "changes",
    [
        {"starts": 4, "starts_span_ms": 10_000},
        {"starts": 50},
        {"starts": 50, "starts_span_ms": 9, "ahead_is_more": True},
    ],
)
def test_where_little_is_known_nothing_is_estimated(changes: dict[str, Any]) -> None:
    assert estimate(facts(**changes)) is None


def test_a_paused_tenants_task_has_no_estimated_start() -> None:
    assert explain(facts(tenant_state="paused", starts=50, starts_span_ms=100)).estimated_start is None


def test_a_workflow_that_asks_a_person_says_what_it_asks() -> None:
    asks = facts(status=TaskStatus.WAITING, due_ms=2_000_000, waiting_kind="delegated", asks="Shall we?")
    told = explain(asks)
    assert (told.reason, told.until) == (WaitReason.INPUT, "1970-01-01T00:33:20.000Z")
    assert told.says.startswith("It waits for a person's input, until ")
    assert told.says.endswith(": Shall we?")
