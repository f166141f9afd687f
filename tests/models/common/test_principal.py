"""What a principal may do."""

from math import inf
from typing import Any

import pytest
from attrs import evolve

from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.principal import RANKS, Principal, Role


def principal(*permissions: str, role: Role = Role.USER, **more: Any) -> Principal:
    return Principal("acme", "ann", role, frozenset(permissions), inf, **more)


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [
        ("session:read", "session:read", True),
        ("session:read", "session:write", False),
        ("session:*", "session:write", True),
        ("*:read", "agent:read", True),
        ("*:read", "agent:write", False),
        ("*", "workflow:execute", True),
        ("*:*", "workflow:execute", True),
        ("session:admin", "session:admin", True),
        ("session:admin", "session:read", False),
        ("session:*", "session:admin", False),
        ("*:admin", "session:admin", False),
        ("*", "session:admin", False),
        ("*:*", "session:admin", False),
        ("task:*", "task:admin", False),
        ("audit:read", "audit:read", True),
        ("*:read", "audit:read", False),
        ("audit:*", "audit:read", False),
        ("*", "audit:read", False),
    ],
)
def test_wildcards_reach_all_but_administration(granted: str, asked: str, expected: bool) -> None:
    assert principal(granted).may(asked) is expected


@pytest.mark.parametrize("granted", ["session:*", "*", "*:admin", "*:*", "*:read"])
def test_a_wildcard_shows_nobody_elses_sessions(granted: str) -> None:
    assert not principal(granted).sees_whole_tenant


def test_administration_is_granted_by_role_or_by_name() -> None:
    assert principal("session:admin").sees_whole_tenant
    assert principal(role=Role.OPERATOR).sees_whole_tenant
    assert principal("*", role=Role.ADMIN).may("session:admin")
    assert not principal("chat:read", role=Role.ADMIN).may("session:admin")


@pytest.mark.parametrize(
    ("granted", "expected"),
    [("*", True), ("*:*", True), ("audit:*", True), ("audit:read", True), ("*:read", False), ("session:*", False)],
)
def test_an_admin_who_reads_everything_does_not_read_the_audit_trail_by_that(granted: str, expected: bool) -> None:
    assert principal(granted, role=Role.ADMIN).may("audit:read") is expected


def test_a_reader_reads_what_a_user_reads() -> None:
    reads = {permission for permission in ROLE_PERMISSIONS[Role.USER] if permission.endswith(":read")}
    assert ROLE_PERMISSIONS[Role.READER] == reads
    assert not principal(*reads, role=Role.READER).sees_whole_tenant


def test_every_role_has_its_rank_and_permissions() -> None:
    assert set(RANKS) == set(Role) == set(ROLE_PERMISSIONS)


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        (principal("session:read"), principal("session:read"), True),
        (principal("session:*"), principal("session:read", "session:write"), True),
        (principal("*"), principal("session:*", "*:read"), True),
        (principal("session:read", "session:write"), principal("session:*"), False),
        (principal("session:read"), principal("session:read", "chat:write"), False),
        (principal("*"), principal("session:admin"), False),
        (principal("session:admin"), principal("session:admin"), True),
        (principal("*"), principal("*", role=Role.OPERATOR), False),
        (principal("*", role=Role.ADMIN), principal("*", role=Role.OPERATOR), True),
        (evolve(principal("*"), user_id="bob"), principal(), False),
        (evolve(principal("*"), tenant_id="other"), principal(), False),
    ],
)
def test_a_token_covers_another_where_it_gives_all_of_it(newer: Principal, older: Principal, expected: bool) -> None:
    assert newer.covers(older) is expected
