"""Sockets and streams of events are bounded together: of the process, of a tenant, of an address."""

from contextlib import ExitStack

import pytest

from orchestrator.errors import TooManyConnections
from orchestrator.services.shared.open_streams import OpenStreams


def test_each_bound_holds_and_a_place_comes_back() -> None:
    streams = OpenStreams(4, 3, 2)
    with ExitStack() as held:
        held.enter_context(streams.held("acme", "192.0.2.1"))
        held.enter_context(streams.held("acme", "192.0.2.1"))
        with pytest.raises(TooManyConnections, match="address"):
            held.enter_context(streams.held("globex", "192.0.2.1"))
        held.enter_context(streams.held("acme", "192.0.2.2"))
        with pytest.raises(TooManyConnections, match="tenant"):
            held.enter_context(streams.held("acme", "192.0.2.3"))
        held.enter_context(streams.held("globex", "192.0.2.3"))
        with pytest.raises(TooManyConnections, match="service"):
            held.enter_context(streams.held("initech", "192.0.2.4"))
        assert len(streams) == 4
    assert len(streams) == 0
    with streams.held("acme", "192.0.2.1"):
        assert len(streams) == 1
