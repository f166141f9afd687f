"""What the tests of documented shapes share."""

from collections.abc import Iterator

import pytest

from tests.platform.served import Served, serve


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running service with its sandbox, for all tests of this folder."""
    with serve(tmp_path_factory.mktemp("dev")) as served:
        yield served
