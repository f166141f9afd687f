"""Workflow Engine: runs the workflows of the fixtures, step by step, through the orchestrator."""

from collections import OrderedDict
from typing import Any, Final

import trio
from attrs import field, frozen

from orchestrator.clients.workflow_engine import CANCEL, DEFINITION, DEFINITIONS, EXECUTE, EXECUTION, INPUT, VALIDATE
from orchestrator.models.common.ids import new_id
from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.services.workflows import WorkflowRun, faults_of
from orchestrator.sandbox.serving.callbacks import callback_for
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import SandboxReply
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn, payload_reply

KEPT_RUNS: Final = 10_000


@frozen
class WorkflowEngineService:
    """The Workflow Engine service."""

    fixtures: Fixtures
    gateway: GatewayClient
    nursery: trio.Nursery
    runs: OrderedDict[tuple[str, str], WorkflowRun] = field(factory=OrderedDict, init=False)
    """The latest runs, by tenant and execution."""

    async def definitions(self, call: SandboxCall) -> SandboxReply:
        """Return the tenant's workflows."""
        ids = self.fixtures.tenant(call.tenant_id)["workflows"]
        return payload_reply({"definitions": [self.fixtures.workflows[workflow_id] for workflow_id in ids]})

    async def definition(self, call: SandboxCall) -> SandboxReply:
        """Return one workflow."""
        return payload_reply(self._definition(call, call.params["workflow_id"]))

    async def validate(self, call: SandboxCall) -> SandboxReply:
        """Return all faults of a definition."""
        faults = faults_of(call.payload)
        return payload_reply({"valid": not faults, "errors": faults})

    async def execute(self, call: SandboxCall) -> SandboxReply:
        """Start a workflow; its progress is reported to the orchestrator."""
        definition = self._definition(call, call.get("workflow_id", str))
        callback = callback_for(call, self.gateway)
        if not callback.task_id:
            raise SandboxRefusal(400, "WFLOW_VAL_001", "task_id is missing: the progress could not be reported.")
        run = WorkflowRun(new_id(), definition, call.get("input", dict, {}), callback)
        self.runs[call.tenant_id, run.execution_id] = run
        if len(self.runs) > KEPT_RUNS:
            self.runs.popitem(last=False)
        self.nursery.start_soon(run.run)
        return payload_reply({"execution_id": run.execution_id, "status": run.status}, 202)

    async def get(self, call: SandboxCall) -> SandboxReply:
        """Return the state of an execution."""
        return payload_reply(self._find(call).view())

    async def cancel(self, call: SandboxCall) -> SandboxReply:
        """Cancel an execution; one that has ended stays as it is."""
        run = self._find(call)
        return payload_reply({"cancelled": run.cancel(), **run.view()})

    async def input(self, call: SandboxCall) -> SandboxReply:
        """Give a waiting step its input."""
        run = self._find(call)
        node_id = call.get("node_id", str)
        if "input" not in call.payload:
            raise SandboxRefusal(400, "WFLOW_VAL_001", "input is missing.")
        if not run.give_input(node_id, call.payload["input"]):
            raise SandboxRefusal(409, "WFLOW_CONF_001", f"The workflow does not wait for input at {node_id}.")
        return payload_reply(run.view(), 202)

    def _definition(self, call: SandboxCall, workflow_id: str) -> dict[str, Any]:
        if workflow_id not in self.fixtures.tenant(call.tenant_id)["workflows"]:
            raise SandboxRefusal(404, "WFLOW_NOTF_001", f"The tenant has no workflow {workflow_id}.")
        return self.fixtures.workflows[workflow_id]

    def _find(self, call: SandboxCall) -> WorkflowRun:
        run = self.runs.get((call.tenant_id, call.params["execution_id"]))
        if run is None:
            raise call.missing("execution", 2)
        return run


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = WorkflowEngineService(resources.fixtures, resources.gateway, resources.nursery)
    return StandIn(
        "WFLOW",
        (
            SandboxRoute(DEFINITIONS, service.definitions),
            SandboxRoute(DEFINITION, service.definition),
            SandboxRoute(VALIDATE, service.validate),
            SandboxRoute(EXECUTE, service.execute, creates=True),
            SandboxRoute(EXECUTION, service.get),
            SandboxRoute(CANCEL, service.cancel),
            SandboxRoute(INPUT, service.input),
        ),
    )
