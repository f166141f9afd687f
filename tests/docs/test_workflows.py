"""What the page on running workflows sends is what the routes take."""

import re
from pathlib import Path

import orjson
import pytest

from orchestrator.codec import structure
from orchestrator.models.plans.workflow import WorkflowExecute, WorkflowInput
from orchestrator.models.tasks.batch import BatchCreate
from orchestrator.sandbox.data_files import data_folder

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-a-workflow.md"
MODELS: dict[str, type] = {
    "batch.create": BatchCreate,
    "workflow.execute": WorkflowExecute,
    "workflow.input": WorkflowInput,
}
SENT = re.findall(r"POST \$API/api/v1/([a-z.]+)[^\n]*?(?:\\\n\s*)?-d '(\{.*?\})'", PAGE.read_text("utf-8"), re.DOTALL)


def test_every_request_of_the_page_is_found() -> None:
    assert [route for route, _ in SENT] == ["workflow.execute", "workflow.execute", "workflow.input", "batch.create"]


@pytest.mark.parametrize(("route", "body"), SENT)
def test_a_request_of_the_page_is_one_that_is_taken(route: str, body: str) -> None:
    request: object = structure(orjson.loads(body), MODELS[route])
    workflow_id = getattr(request, "workflow_id", None)
    assert workflow_id is None or (data_folder("fixtures") / "workflows" / f"{workflow_id}.json").exists()
