"""The plans that the documentation shows, run by the engine at the sandbox's services."""

import re
from pathlib import Path
from typing import Any

import orjson
from attrs import evolve

from orchestrator.clients.opening import open_clients
from orchestrator.codec import structure
from orchestrator.models.plans.plan_request import PlanRequest
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.sandbox.platform import run_sandbox
from orchestrator.services.agents.agent_question import AgentQuestionRunner
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.call_executor import PlanDone, PlanUndone
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.workflows.plan_calls import PlanCalls
from tests.services.gateway.rig import gateway_at
from tests.services.plans.planned import FakePlanAttempt
from tests.support.calls import services_at

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plan.md"
BLOCKS = re.findall(r"```json \w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
EXAMPLES: list[dict[str, Any]] = [block for block in map(orjson.loads, BLOCKS) if "plan" in block]


async def run(redis_url: str, docs: Path, plan: dict[str, Any], input_: dict[str, Any]) -> PlanDone | PlanUndone:
    """Run a plan at a sandbox; no agent asks anything of the orchestrator, which is not there."""
    async with run_sandbox(docs=docs) as sandbox:
        nowhere = services_at("")
        places = {name: evolve(nowhere[name], url=url) for name, url in sandbox.urls.items()}
        async with open_clients(places) as clients, gateway_at(redis_url, sandbox.urls["query"]) as gateway:
            coordinator = ServiceCoordinator()
            agents = AgentQuestionRunner(clients, coordinator, AgentCatalog(clients, coordinator))
            runner = PlanRunner(PlanCalls(clients, coordinator, gateway.gateway, agents))
            request = structure(plan, PlanRequest)
            outcome = await runner.run(request.plan("p", "acme"), input_, FakePlanAttempt())
            assert isinstance(outcome, PlanDone | PlanUndone)
            return outcome


def with_echo(plan: dict[str, Any]) -> dict[str, Any]:
    """The same plan with an agent that needs no orchestrator."""
    changed: dict[str, Any] = orjson.loads(orjson.dumps(plan).replace(b"docs-guide", b"echo"))
    return changed


async def test_the_plans_run(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Tenants\n\nDrain a tenant by draining it.\n")
    for example in EXAMPLES:
        plan = with_echo(example["plan"])
        if "store" in plan["calls"]:
            opened = {"service": "conversation", "operation": "create"}
            plan["calls"]["open"] = {
                **opened,
                "parameters": {"user_id": "ann", "agent_id": "echo", "conversation_id": "$.input.conversation_id"},
            }
            plan["calls"]["count"]["depends_on"] = ["open"]
        outcome = await run(redis_url, tmp_path, plan, example["input"])
        assert isinstance(outcome, PlanDone)
        assert outcome.status is TaskStatus.COMPLETED, outcome.failed


async def test_a_plan_that_fails_is_undone_at_the_services(redis_url: str, tmp_path: Path) -> None:
    (example,) = [one for one in EXAMPLES if one["plan"].get("on_failure") == "compensate"]
    plan = with_echo(example["plan"])
    plan["calls"]["tell"]["parameters"]["agent_id"] = "nobody"
    (tmp_path / "a.md").write_text("# A\n\nB.\n")
    outcome = await run(redis_url, tmp_path, plan, example["input"])
    assert isinstance(outcome, PlanUndone)
    assert (outcome.undone, outcome.left) == (["note"], {})
