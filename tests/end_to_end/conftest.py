"""By which shapes the services speak that the tests of this folder drive: the sandbox's own, or the documents'."""

from typing import Final

import pytest

from tests.support.documented_shapes import DOCUMENTED, OWN, speak_as_documented

BOTH: Final = ("test_flows",)
"""Modules that are always tried with both; `--services documented` has all others speak as documented, too."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each test with the shapes that are asked for."""
    asked = metafunc.config.getoption("--services")
    both = metafunc.module.__name__.rpartition(".")[2] in BOTH and asked == OWN
    metafunc.parametrize("shapes", [OWN, DOCUMENTED] if both else [asked], indirect=True, ids=str)


LATER: Final = (
    "test_only_the_holder_of_the_callback_token_may_answer",
    "test_after_kill_9_another_process_ends_delegated_turns",
)
"""Tests of tools that answer later: by the documents alone the registry does not say which do."""


@pytest.fixture(autouse=True)
def shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the sandbox speak in the shapes of the test."""
    if request.param == DOCUMENTED:
        if request.node.originalname in LATER:
            pytest.skip("the documents have no kind of tool that answers later")
        speak_as_documented(monkeypatch)
    return str(request.param)
