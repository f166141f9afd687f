"""Plans that can't be run."""

from typing import Any

import pytest

from orchestrator.clients.registry import OPERATIONS, SERVICES
from orchestrator.codec import structure
from orchestrator.domain.plans.plans import MOST_FAULTS, check, faults
from orchestrator.errors import InvalidBody, Unprocessable
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.plans.plan_request import PlanRequest


def told(calls: dict[str, Any], **more: Any) -> dict[str, str]:
    """The faults of a plan, by path below it."""
    plan = structure({"calls": calls, **more}, PlanRequest, "$.data.plan").plan("p", "acme")
    return {fault.path.removeprefix("$.data.plan."): fault.message for fault in faults(plan, OPERATIONS)}


def tool(tool_id: str = "clock", **more: Any) -> dict[str, Any]:
    return {"service": "tool_registry", "operation": "get", "parameters": {"tool_id": tool_id}, **more}


def test_a_plan_without_faults_passes() -> None:
    calls = {"a": tool(), "b": tool("$.calls.a.result.tool_id", depends_on=["a"], when={"exists": "$.input.x"})}
    assert told(calls) == {}
    assert told({"a": tool(), "b": tool("$.calls.a.result.tool_id")}, strategy="sequential") == {}


def test_all_faults_are_told_at_once_each_with_its_path() -> None:
    plan = {
        "a": {"service": "nowhere", "operation": "get"},
        "b": {"service": "tool_registry", "operation": "fly"},
        "c": {"service": "tool_registry", "operation": "get", "parameters": {"tenant_id": "globex", "color": 1}},
        "d": tool(depends_on=["nobody", "d"]),
        "e": tool("$.calls.a.result"),
        "f": tool("$.calls.nobody.result"),
        "g": tool("$.input.["),
        "h": tool(when={"equals": [1]}),
        "i": tool(when={"exists": "$.calls.a.result"}),
        "j:k": tool(),
        "l": tool(compensate=tool("$.calls.b.result")),
    }
    assert told(plan) == {
        "calls.a.service": f"is unknown; there are {', '.join(sorted(SERVICES))}",
        "calls.b.operation": "is unknown; tool_registry has async_execute, execute, get, list",
        "calls.c.parameters.tenant_id": "can't be chosen: a plan acts for the tenant that runs it",
        "calls.c.parameters.tool_id": "required field is missing",
        "calls.c.parameters.color": "is no parameter of tool_registry.get",
        "calls.d.depends_on[0]": "is no call of the plan: 'nobody'",
        "calls.d.depends_on[1]": "is the call itself",
        "calls.e.parameters.tool_id": "refers to 'a', but does not depend on it",
        "calls.f.parameters.tool_id": "refers to 'nobody', which is no call of the plan",
        "calls.g.parameters.tool_id": told({"g": tool("$.input.[")})["calls.g.parameters.tool_id"],
        "calls.h.when.equals": "must be a list of two operands",
        "calls.i.when.exists": "refers to 'a', but does not depend on it",
        "calls.j:k": "is no name for a call: it must match ^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        "calls.l.compensate.parameters.tool_id": "refers to 'b', but the call that it undoes does not depend on it",
    }


def test_an_operation_is_refused_unless_its_record_says_what_a_plan_needs() -> None:
    closed = Operation("billing", "close", "POST", "/accounts/{account_id}/close", plan=None)
    plan = structure({"calls": {"a": {"service": "billing", "operation": "close"}}}, PlanRequest).plan("p", "acme")
    (fault,) = faults(plan, {closed.key: closed})
    assert (fault.path, fault.message) == ("$.data.plan.calls.a.operation", "can't be called by a plan")


def test_a_cycle_is_told_once_with_its_way() -> None:
    calls = {"a": tool(depends_on=["c"]), "b": tool(depends_on=["a"]), "c": tool(depends_on=["b"]), "d": tool()}
    assert told(calls) == {"calls": "depend on each other in a cycle (WFLOW_VAL_001): a -> c -> b -> a"}


def test_a_call_that_leads_into_a_cycle_is_not_part_of_it() -> None:
    calls = {"a": tool(depends_on=["b"]), "b": tool(depends_on=["c"]), "c": tool(depends_on=["b"])}
    assert told(calls) == {"calls": "depend on each other in a cycle (WFLOW_VAL_001): b -> c -> b"}


def test_a_reference_may_reach_over_several_dependencies() -> None:
    calls = {"a": tool(), "b": tool(depends_on=["a"]), "c": tool("$.calls.a.result.tool_id", depends_on=["b"])}
    assert told(calls) == {}


def test_a_compensation_may_look_into_what_it_undoes() -> None:
    assert told({"a": tool(compensate=tool("$.calls.a.result.tool_id"))}) == {}


def test_dependencies_must_fit_the_strategy() -> None:
    calls = {"a": tool(depends_on=["b"]), "b": tool("$.calls.a.result.tool_id")}
    assert told(calls, strategy="sequential") == {"calls.a.depends_on[0]": "comes later in this sequential plan"}
    assert told(calls, strategy="parallel") == {
        "calls.a.depends_on[0]": "can't be waited for: the calls of a parallel plan run all at once",
        "calls.b.parameters.tool_id": "refers to 'a', but does not depend on it",
    }


def test_a_plan_with_faults_is_refused_with_the_code_of_contradictions() -> None:
    plan = structure({"calls": {"a": tool(depends_on=["a", "b"])}}, PlanRequest).plan("p", "acme")
    with pytest.raises(Unprocessable, match=r"depends_on\[0\] is the call itself; and 1 more") as caught:
        check(plan, OPERATIONS)
    assert caught.value.code == "ORCH_VAL_002"
    assert len(caught.value.details) == 2


def test_of_many_faults_only_the_first_are_reported() -> None:
    calls = {f"c{index}": tool(depends_on=["x", "y"]) for index in range(100)}
    with pytest.raises(Unprocessable, match="and 199 more") as caught:
        check(structure({"calls": calls}, PlanRequest).plan("p", "acme"), OPERATIONS)
    assert len(caught.value.details) == MOST_FAULTS


def test_parameters_are_bounded_in_depth_and_can_t_ask_for_a_stream() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    call = {"service": "query", "operation": "generate", "parameters": {"query": deep, "stream": True}}
    assert set(told({"a": call})) == {"calls.a.parameters", "calls.a.parameters.stream"}


def test_references_are_bounded_in_a_call_and_in_a_plan() -> None:
    many = {"service": "tool_registry", "operation": "execute"}
    parameters = {"tool_id": "x", "parameters": {"a": ["$.input.x"] * 65}}
    assert told({"a": {**many, "parameters": parameters}}) == {"calls.a": "has more than 64 references"}
    parameters = {"tool_id": "x", "parameters": {"a": ["$.input.x"] * 51}}
    calls = {f"c{index}": {**many, "parameters": parameters} for index in range(10)}
    assert told(calls) == {"calls": "have more than 500 references together"}


def test_a_plan_in_which_all_depend_on_all_before_them_is_looked_through_quickly() -> None:
    names = [f"c{index}" for index in range(100)]
    assert told({name: tool(depends_on=names[:index]) for index, name in enumerate(names)}) == {}
    assert list(told({name: tool(depends_on=[one for one in names if one != name]) for name in names})) == ["calls"]


@pytest.mark.parametrize(
    ("plan", "path"),
    [
        ({"calls": {}}, "$.calls"),
        ({"calls": {f"c{index}": tool() for index in range(101)}}, "$.calls"),
        ({"calls": {"a": {"service": "x"}}}, "$.calls.a.operation"),
        ({"calls": {"a": tool(retry_policy="never")}}, "$.calls.a.retry_policy"),
        ({"calls": {"a": tool(timeout_ms=0)}}, "$.calls.a.timeout_ms"),
        ({"calls": {"a": tool(depends_on="b")}}, "$.calls.a.depends_on"),
        ({"calls": {"a": tool(when=[])}}, "$.calls.a.when"),
        ({"calls": {"a": tool(compensate=tool(compensate=tool()))}}, "$.calls.a.compensate.compensate"),
        ({"calls": {"a": tool()}, "deadline_ms": 0}, "$.deadline_ms"),
        ({"calls": {"a": tool()}, "strategy": "random"}, "$.strategy"),
        ({"calls": {"a": 1}}, "$.calls.a"),
        ({"calls": []}, "$.calls"),
        ({"calls": {"a": tool(parameters=[])}}, "$.calls.a.parameters"),
    ],
)
def test_a_malformed_plan_is_told_by_path(plan: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        structure(plan, PlanRequest)
    assert [fault.path for fault in caught.value.details] == [path]
