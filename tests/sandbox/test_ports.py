"""Ports that servers are told to listen on."""

import socket
from pathlib import Path

import pytest

from orchestrator.sandbox import ports
from orchestrator.sandbox.ports import PORTS, free_port


def test_a_port_is_none_that_the_system_gives_to_connections() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(given.read_text().split()[0]) if given.exists() else 49_152
    assert PORTS.stop <= first
    assert free_port() in PORTS


def test_a_port_that_is_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as used:
        port = free_port()
        used.bind(("127.0.0.1", port))
        used.listen()
        other = free_port()
        monkeypatch.setattr(ports, "PORTS", [port, other])
        monkeypatch.setattr(ports, "_TRIES", 2)
        assert free_port() == other
