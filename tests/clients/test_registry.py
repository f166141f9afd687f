"""The records of downstream services."""

from typing import Any

import pytest
from attrs import fields

from orchestrator.clients.query import QueryClient
from orchestrator.clients.registry import OPERATIONS, SERVICES, Clients
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.config.defaults import DEFAULTS
from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.principal import Role
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess

EVERY = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=map(".".join, OPERATIONS))


def parameters(operation: Operation) -> set[str]:
    return {*operation.path_parameters, *operation.required, *operation.optional}


def test_every_record_has_a_client_and_settings() -> None:
    assert [attribute.name for attribute in fields(Clients)] == [*SERVICES] == [*DEFAULTS.services]


@EVERY
def test_a_plan_may_give_every_parameter_that_is_not_reserved(operation: Operation) -> None:
    assert operation.faults(dict.fromkeys(parameters(operation) - operation.reserved)) == []


@EVERY
def test_a_plan_needs_a_permission_that_a_user_has_and_that_others_may_lack(operation: Operation) -> None:
    access = operation.plan
    assert access is not None
    assert {access.permission, *access.chosen.values()} <= ROLE_PERMISSIONS[Role.USER]
    runs = operation.domain != "workflow" and not operation.idempotent
    assert not (runs and access.permission == "workflow:execute")


@EVERY
def test_users_and_what_is_theirs_are_checked_wherever_they_are_named(operation: Operation) -> None:
    owners: dict[str, set[Owner]] = {
        "user_id": {Owner.USER},
        "session_id": {Owner.SESSION},
        "conversation_id": {Owner.CONVERSATION, Owner.NEW_CONVERSATION},
        "message_id": {Owner.MESSAGE, Owner.WITHIN},
        "task_id": {Owner.TASK},
        "execution_id": {Owner.TASK},
    }
    access = operation.plan
    assert access is not None
    for name in parameters(operation) - operation.reserved:
        if name.endswith("_id"):
            assert access.owners[name] in owners.get(name, {Owner.TENANT, Owner.WITHIN})
    named = {access.owners[name] for name in parameters(operation) & access.owners.keys()}
    if Owner.WITHIN in named:
        # What lies within something needs that something to be checked, or to be shared.
        assert named - {Owner.WITHIN}


@pytest.mark.parametrize(
    "access",
    [
        PlanAccess("billing:read", {"invoice_id": Owner.TENANT}),
        PlanAccess("billing:read", {"invoice_id": Owner.TENANT, "account_id": Owner.USER}),
        PlanAccess("billing:read", {"invoice_id": Owner.TENANT, "account_id": Owner.USER}, ("currency", "invoice_id")),
        PlanAccess("billing:read", {"invoice_id": Owner.TENANT}, ("account_id", "currency"), nested=("context",)),
    ],
)
def test_a_record_that_does_not_say_of_each_parameter_what_it_names_is_refused(access: PlanAccess) -> None:
    with pytest.raises(ValueError, match=r"the record of billing\.get must say once what these name"):
        Operation("billing", "get", "GET", "/invoices/{invoice_id}", optional=("account_id", "currency"), plan=access)


def test_a_record_that_says_nothing_of_plans_is_refused() -> None:
    unsaid: Any = Operation
    with pytest.raises(TypeError, match="plan"):
        unsaid("billing", "get", "GET", "/invoices")


@pytest.mark.parametrize("keys", [[("billing", "get"), ("query", "get")], [("query", "get"), ("query", "get")]])
def test_the_operations_of_a_record_are_its_own_and_have_one_name_each(keys: list[tuple[str, str]]) -> None:
    operations = tuple(Operation(service, name, "GET", "/x", plan=None) for service, name in keys)
    with pytest.raises(ValueError, match="the operations of query"):
        ServiceRecord("query", QueryClient, operations)
