"""The records of downstream services."""

import pytest
from attrs import fields

from orchestrator.clients.query import QueryClient
from orchestrator.clients.registry import DEFAULTS, OPERATIONS, SERVICES, Clients
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess

CHOSEN_BY_THE_ENGINE = {"tenant_id", "task_id"}


def test_every_record_has_a_client_and_settings() -> None:
    assert [attribute.name for attribute in fields(Clients)] == [*SERVICES] == [*DEFAULTS.services]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=map(".".join, OPERATIONS))
def test_a_plan_may_give_every_parameter_of_an_operation_and_its_owner_is_known(operation: Operation) -> None:
    names = {*operation.path_parameters, *operation.required, *operation.optional}
    if operation.delegable:
        names -= CHOSEN_BY_THE_ENGINE
    assert operation.faults(dict.fromkeys(names - {"tenant_id"})) == []
    assert operation.plan is not None
    assert operation.plan.permission.partition(":")[1] == ":"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=map(".".join, OPERATIONS))
def test_users_and_sessions_are_checked_wherever_they_are_named(operation: Operation) -> None:
    owners = {"user_id": Owner.USER, "session_id": Owner.SESSION, "conversation_id": Owner.SESSION}
    assert operation.plan is not None
    for name in {*operation.path_parameters, *operation.required, *operation.optional} & owners.keys():
        assert operation.plan.owners[name] is owners[name]


def test_a_parameter_that_names_something_can_t_be_given_unless_its_owner_is_known() -> None:
    access = PlanAccess("billing:read", {"invoice_id": Owner.TENANT})
    operation = Operation(
        "billing", "get", "GET", "/invoices/{invoice_id}", optional=("account_id", "currency"), plan=access
    )
    given = {"invoice_id": "i1", "account_id": "a1", "currency": "EUR"}
    assert operation.faults(given) == [("account_id", "can't be given: its owner is unknown")]


@pytest.mark.parametrize("keys", [[("billing", "get"), ("query", "get")], [("query", "get"), ("query", "get")]])
def test_the_operations_of_a_record_are_its_own_and_have_one_name_each(keys: list[tuple[str, str]]) -> None:
    operations = tuple(Operation(service, name, "GET", "/x") for service, name in keys)
    with pytest.raises(ValueError, match="the operations of query"):
        ServiceRecord("query", QueryClient, operations)
