"""What scripts say they answer, and what the stores know of it."""

import re
from enum import StrEnum
from importlib.resources import files

import pytest

from orchestrator.models.tasks.waits import Taken
from orchestrator.store.events.notifications import NotificationSendVerdict
from orchestrator.store.gateway.gateway_calls import CallReserveVerdict
from orchestrator.store.operations.tenants import TenantStateVerdict
from orchestrator.store.scheduling.batches import BatchAdmitVerdict, BatchCancelVerdict
from orchestrator.store.scheduling.schedules import ScheduleChangeVerdict, ScheduleCreateVerdict
from orchestrator.store.sessions.idempotency import KeyClaimVerdict
from orchestrator.store.sessions.verdicts import (
    AgentAssignVerdict,
    SessionCloseVerdict,
    SessionCreateVerdict,
    SessionMoveVerdict,
    SessionUpdateVerdict,
)
from orchestrator.store.tasks.admission import Verdict
from orchestrator.store.tasks.enqueue import Enqueued
from orchestrator.store.tasks.tasks import TaskCancelVerdict
from orchestrator.store.tenant_store import read_verdict

SCRIPTS = files("orchestrator.store") / "scripts"
WORD = r"'([a-z]+)'"
# `{'ok', …}`, `{'ok' or 'replayed', …}` and `{'done' | 'asked', …}` begin with verdicts; what follows is no verdict.
FIRST = re.compile(rf"\{{({WORD}(?: (?:or|\|) {WORD})*)")


def words_of(script: str) -> set[str]:
    """The verdicts that the header of a script names."""
    text = (SCRIPTS / f"{script}.lua").read_text(encoding="utf-8")
    header = text[text.index("-- Returns:") : text.index("-- Complexity:")]
    found = [group[0] for group in FIRST.findall(header)]
    return set(re.findall(WORD, " ".join(found) if found else header))


@pytest.mark.parametrize(
    ("script", "verdicts"),
    [
        ("admission/admit_turn", [Verdict]),
        ("admission/admit_batch", [BatchAdmitVerdict]),
        ("admission/cancel_batch", [BatchCancelVerdict]),
        ("admission/enqueue_task", [Enqueued]),
        ("attempts/answer_call", [Taken]),
        ("attempts/cancel_task", [TaskCancelVerdict]),
        ("gateway/reserve_call", [CallReserveVerdict]),
        ("notifications/send_notification", [NotificationSendVerdict]),
        ("operations/change_tenant_state", [TenantStateVerdict]),
        ("plans/report_progress", [Taken]),
        ("scheduling/put_schedule", [ScheduleCreateVerdict, ScheduleChangeVerdict]),
        ("sessions/assign_agent", [AgentAssignVerdict]),
        ("sessions/claim_key", [KeyClaimVerdict]),
        ("sessions/close_session", [SessionCloseVerdict]),
        ("sessions/create_session", [SessionCreateVerdict]),
        ("sessions/move_session", [SessionMoveVerdict]),
        ("sessions/update_session", [SessionUpdateVerdict]),
    ],
)
def test_a_store_knows_every_verdict_of_its_script_and_no_other(script: str, verdicts: list[type[StrEnum]]) -> None:
    assert words_of(script) == {verdict.value for kind in verdicts for verdict in kind}


def test_a_task_is_admitted_by_the_verdicts_of_a_turn() -> None:
    assert words_of("admission/admit_task") < {verdict.value for verdict in Verdict}


def test_a_verdict_that_the_store_does_not_know_is_an_error() -> None:
    assert read_verdict(SessionMoveVerdict, [b"refused", b"PAUSED"]) == (SessionMoveVerdict.REFUSED, "PAUSED")
    with pytest.raises(ValueError, match="perhaps"):
        read_verdict(SessionMoveVerdict, [b"perhaps"])
