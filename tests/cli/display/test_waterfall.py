"""The waterfall of a request that goes on."""

from cli.display.waterfall import waterfall

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


def test_a_narrow_terminal_has_the_names_of_steps_and_the_whole_id_of_the_request() -> None:
    steps = [STEP | {"step": "taken_over", "attempt": 2, "after_ms": 9}]
    request = "01a224b3-d2cf-761c-b3ab-4eae93a599c6"
    timeline = {"correlation_id": request, "started_at": "2026-01-31", "duration_ms": 10, "steps": steps}
    which, when, step = waterfall(timeline, 40)
    assert (which, when) == (request, "2026-01-31  10 ms")
    assert step.endswith(" taken over #2")
    assert len(step) <= 40


def test_what_is_wider_than_the_terminal_goes_on_below_and_nothing_is_left_out() -> None:
    steps = [STEP | {"detail": "on 3a7eff80d423c711 " + "x" * 100}]
    timeline = {"correlation_id": "c", "started_at": "", "duration_ms": 1, "steps": steps}
    _, *lines = waterfall(timeline, 40)
    assert max(map(len, lines)) <= 40
    assert any(line.endswith(" 3a7eff80d423c711") for line in lines)
    assert "".join(lines).count("x") == 100
