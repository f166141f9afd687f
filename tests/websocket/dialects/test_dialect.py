"""The dialect of a socket is the first one that its client offers."""

import pytest

from orchestrator.websocket.dialects.dialect import DEFAULT, DIALECTS, DOMAIN_ACTION, choose


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["chat", "bearer.x"], None),
        (["nooble.v1", "bearer.x"], "nooble.v1"),
        (["bearer.x", "domain-action"], "domain-action"),
        (["nooble.v1", "domain-action"], "nooble.v1"),
        (["domain-action", "nooble.v1"], "domain-action"),
    ],
)
def test_the_first_one_that_is_known_is_selected(offered: list[str], selected: str | None) -> None:
    dialect, answered = choose(offered)
    assert answered == selected
    assert dialect is (DEFAULT if selected is None else DIALECTS[selected])


@pytest.mark.parametrize(("code", "documented"), [(1011, 4500), (1000, 1000), (1013, 1013), (4001, 4001), (4003, 4003)])
def test_a_failure_of_the_service_has_the_close_code_of_the_chosen_dialect(code: int, documented: int) -> None:
    assert DEFAULT.close_code(code) == code
    assert DIALECTS[DOMAIN_ACTION].close_code(code) == documented
