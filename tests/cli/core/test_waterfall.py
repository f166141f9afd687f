"""The waterfall of a request that goes on."""

from cli.core.waterfall import waterfall

STEP = {"after_ms": 0, "step": "accepted", "task_id": "task-1", "attempt": 0, "detail": "", "node": ""}


def test_a_request_that_goes_on_ends_now_and_names_the_open_call() -> None:
    opened = {
        "task_id": "task-1",
        "status": "processing",
        "for_ms": 59_997,
        "detail": "agent_execution.execute for 59.9 s",
    }
    steps = [STEP, STEP | {"after_ms": 3, "step": "claimed", "attempt": 1}]
    timeline = {"correlation_id": "c", "started_at": "", "duration_ms": 60_000, "steps": steps, "open": [opened]}
    *_, claimed, last = waterfall(timeline, 100)
    assert claimed.count("█") == 26
    assert "open: agent_execution.execute for 59.9 s (since 60.00 s)" in last


def test_lines_are_cut_to_the_width() -> None:
    steps = [STEP | {"detail": "x" * 200}]
    timeline = {"correlation_id": "c", "started_at": "", "duration_ms": 1, "steps": steps}
    assert max(map(len, waterfall(timeline, 60))) == 60
