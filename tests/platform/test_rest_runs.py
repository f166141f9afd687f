"""Workflows and batches as the platform's documents write them."""

from typing import Any

import pytest

from orchestrator.models.common.ids import new_id
from tests.platform.served import Served, Told, lacks, sent
from tests.platform.vectors import missing, vector

EXECUTE = "/api/v1/workflow.execute"
BATCH = "/api/v1/workflow.batch"
ESTIMATE = "estimated_completion_time"
TOLD = {"queued", "processing", "completed", "failed", "cancelled"}


def ended(served: Served, run_id: str) -> Told:
    """How a run stands when it has ended."""
    path = f"/api/v1/workflow.status/{run_id}"
    return served.until(
        "the run ends", lambda: served.ask("GET", path), lambda told: told.data["status"] in {"completed", "failed"}
    )


def execute(served: Served, **changes: Any) -> Told:
    """Run a workflow as it is documented."""
    request = sent("rest-workflow-execute-req")
    request["data"] |= changes
    return served.ask("POST", EXECUTE, request)


def batch(served: Served, **changes: Any) -> Told:
    """Ask for a batch as it is documented; None leaves a field out."""
    request = sent("rest-workflow-batch-req")
    request["data"] = {name: value for name, value in (request["data"] | changes).items() if value is not None}
    return served.ask("POST", BATCH, request)


def test_a_workflow_is_run_with_its_context_and_its_options(served: Served) -> None:
    taken = execute(served)
    assert (taken.status, taken.data["workflow_id"]) == (202, "arithmetic")
    done = ended(served, taken.data["task_id"])
    assert done.data["callback"]["url"] == "https://hooks.example.com/done"
    assert served.ask("GET", f"/api/v1/task.get/{taken.data['task_id']}").data["input"]["context"] == {"language": "en"}
    waited = execute(served, execution_options={"wait_for_completion": True})
    assert (waited.status, waited.data["status"]) == (200, "completed")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"execution_options": {"colour": "red"}}, "$.data.execution_options.colour"),
        (
            {"execution_options": {"wait_for_completion": True}, "mode": "async"},
            "$.data.execution_options.wait_for_completion",
        ),
        ({"execution_options": {"wait_for_completion": "yes"}}, "$.data.execution_options.wait_for_completion"),
        ({"execution_options": 5}, "$.data.execution_options"),
        ({"mood": "good"}, "$.data.mood"),
    ],
)
def test_options_that_are_not_documented_are_refused(served: Served, changes: Any, path: str) -> None:
    assert execute(served, **changes).fault == (400, "ORCH_VAL_001", path)


def test_a_batch_is_followed_by_one_id_to_its_results(served: Served) -> None:
    taken = batch(served)
    assert lacks("rest-workflow-batch-res", taken, ESTIMATE) == []
    assert taken.data["workflow_id"] == taken.data["batch_id"]
    assert (taken.data["status"], taken.data["items_count"]) == ("queued", 2)
    run_id = taken.data["workflow_id"]
    first = served.ask("GET", f"/api/v1/workflow.status/{run_id}")
    assert first.data["status"] in TOLD
    done = ended(served, run_id)
    assert lacks("rest-workflow-status-res", done, ESTIMATE, "current_step") == []
    results = served.ask("GET", f"/api/v1/workflow.results/{run_id}")
    assert lacks("rest-workflow-results-res", results) == []
    assert [entry["item_id"] for entry in results.data["results"]] == ["item-a", "item-b"]
    assert results.data["results"][0]["output"]["content"] == "first text"
    assert results.data["summary"]["successful"] == 2
    made = served.ask("GET", f"/api/v1/batch.get/{run_id}").data
    assert (made["priority"], made["callback"]["url"]) == (5, "https://hooks.example.com/done")
    items = served.ask("GET", f"/api/v1/batch.results/{run_id}").data["items"]
    assert [(item["item_id"], item["metadata"]) for item in items] == [("item-a", {"page": 1}), ("item-b", {"page": 2})]
    stopped = served.ask("DELETE", f"/api/v1/workflow.cancel/{run_id}", sent("rest-workflow-cancel-req"))
    assert (stopped.status, stopped.data["cancelled"]) == (200, False)


def test_texts_are_embedded_through_the_gateway(served: Served) -> None:
    taken = batch(served, operation_type="embedding", config=None)
    assert taken.status == 202
    ended(served, taken.data["workflow_id"])
    results = served.ask("GET", f"/api/v1/workflow.results/{taken.data['workflow_id']}").data["results"]
    assert [entry["status"] for entry in results] == ["success", "success"]
    assert results[0]["output"]["results"]["embed"]["embeddings"][0]


def test_a_batch_is_for_what_the_tenant_has_under_the_name_of_the_operation(served: Served) -> None:
    for name in ("echo", "arithmetic"):
        assert batch(served, operation_type=name, config=None).status == 202


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"config": None}, "$.data.operation_type"),
        ({"config": {"processing_options": {"agent_id": "no-such-agent"}}}, "$.data.config.processing_options"),
        ({"config": {"processing_options": {"workflow_id": "nothing"}}}, "$.data.config.processing_options"),
    ],
)
def test_what_is_not_set_up_is_never_not_found(served: Served, changes: Any, path: str) -> None:
    assert batch(served, **changes).fault == (422, "ORCH_VAL_002", path)


def test_a_batch_is_refused_with_the_paths_that_its_client_wrote(served: Served) -> None:
    items = [{"id": "a", "content": "x"}, {"id": "a", "content": "y"}]
    assert batch(served, items=items).fault == (400, "ORCH_VAL_001", "$.data.items[1].id")
    config = {"callback_url": "ftp://hooks.example.com", "processing_options": {"agent_id": "echo"}}
    assert batch(served, config=config).fault == (400, "ORCH_VAL_001", "$.data.config.callback_url")
    assert batch(served, colour="red").fault == (400, "ORCH_VAL_001", "$.data.colour")


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"callback_url": "ftp://a.example"}, "callback_url"),
        ({"callback_url": "http://10.0.0.1/"}, "callback_url"),
        ({"callback_url": 3}, "callback_url"),
        ({"priority": 99}, "priority"),
        ({"timeout_ms": 0}, "timeout_ms"),
    ],
)
def test_a_run_is_refused_with_the_place_of_the_option_that_its_client_wrote(
    served: Served, data: Any, path: str
) -> None:
    asked = {"data": {"workflow_id": "approval", "execution_options": data}}
    assert served.ask("POST", EXECUTE, asked).fault == (400, "ORCH_VAL_001", f"$.data.execution_options.{path}")


@pytest.mark.parametrize(
    ("sender", "told"), [("frontend", "queued"), ("workflow_engine", "pending"), (None, "pending")]
)
def test_a_run_that_was_taken_is_told_in_the_words_of_who_asks(served: Served, sender: str | None, told: str) -> None:
    taken = served.ask("POST", EXECUTE, {"source_service": sender, "data": {"workflow_id": "approval"}})
    assert (taken.status, taken.data["status"]) == (202, told)
    assert served.ask("DELETE", f"/api/v1/workflow.cancel/{taken.data['task_id']}").data["cancelled"]


def test_a_run_shows_its_status_and_an_entry_for_each_step(served: Served) -> None:
    taken = served.ask("POST", EXECUTE, {"workflow_id": "approval", "input": {"text": "hello"}})
    path = f"/api/v1/workflow.status/{taken.data['task_id']}"
    waiting = served.until("it asks", lambda: served.ask("GET", path), lambda told: told.data["status"] == "waiting")
    assert lacks("rest-workflow-status-res", waiting, ESTIMATE) == []
    assert waiting.data["workflow_id"] == "approval"
    assert waiting.data["state"] == "waiting"
    guide = {"X-Tenant-ID": "acme", "X-Message-ID": new_id(), "X-Correlation-ID": new_id()}
    for headers in ({"X-Source-Service": "frontend"}, guide):
        told = served.ask("GET", path, **headers)
        assert (told.data["status"], told.data["state"]) == ("processing", "waiting")
        assert served.ask("GET", f"/api/v1/workflow.results/{taken.data['task_id']}", **headers).data["status"] in TOLD
    for name in guide:
        some = {header: value for header, value in guide.items() if header != name}
        assert served.ask("GET", path, **some).data["status"] == "waiting"
    stop = f"/api/v1/workflow.cancel/{taken.data['task_id']}"
    assert served.ask("DELETE", stop, {"notify_user": 1}).fault == (400, "ORCH_VAL_001", "$.notify_user")
    stopped = served.ask("DELETE", stop, {"data": {"reason": "no longer needed", "notify_user": True}})
    assert (stopped.status, stopped.data["cancelled"]) == (200, True)
    assert served.ask("GET", path).data["status_message"] == "no longer needed"
    done = ended(served, execute(served).data["task_id"])
    results = served.ask("GET", f"/api/v1/workflow.results/{done.data['task_id']}")
    assert lacks("rest-workflow-results-res", results) == []
    assert [entry["item_id"] for entry in results.data["results"]] == ["work_out", "say"]


def test_a_definition_names_its_newest_run_and_is_stopped_where_one_alone_is_open(served: Served) -> None:
    status, stop = "/api/v1/workflow.status/approval", "/api/v1/workflow.cancel/approval"
    runs = [served.ask("POST", EXECUTE, {"workflow_id": "approval"}).data["task_id"] for _ in range(2)]
    assert served.ask("GET", status).data["task_id"] == runs[1]
    assert served.ask("DELETE", stop).status == 409
    assert served.ask("DELETE", f"/api/v1/workflow.cancel/{runs[0]}").data["cancelled"] is True
    stopped = served.ask("DELETE", stop, sent("rest-workflow-cancel-req"))
    assert (stopped.status, stopped.data["cancelled"], stopped.data["task_id"]) == (200, True, runs[1])
    assert served.ask("DELETE", stop).status in {404, 409}


def test_an_item_that_fails_has_an_error_in_place_of_its_output(served: Served) -> None:
    items = [{"id": "good", "content": "1 + 1"}, {"id": "bad", "content": "hello"}]
    config = {"processing_options": {"workflow_id": "arithmetic"}}
    done = ended(served, batch(served, items=items, config=config).data["workflow_id"])
    told = served.ask("GET", f"/api/v1/workflow.results/{done.data['task_id']}").data
    entries = {entry["item_id"]: entry for entry in told["results"]}
    assert told["summary"]["failed"] >= 1
    failed = next(entry for entry in entries.values() if entry["status"] == "error")
    assert missing(vector("rest-workflow-results-res").data["results"][1], failed) == []


def test_other_names_of_a_workflow_and_of_its_input_are_read(served: Served) -> None:
    body = {"workflow_template_id": "arithmetic", "input_parameters": {"expression": "6*7"}, "mode": "wait"}
    assert served.ask("POST", EXECUTE, body).data["status"] == "completed"
    twice = served.ask("POST", EXECUTE, {**body, "inputs": {}})
    assert twice.fault == (400, "ORCH_VAL_001", "$.inputs")
    run = served.ask("POST", "/api/v1/tool.execute", {"tool_name": "calculator", "inputs": {"expression": "6*7"}})
    assert run.status == 200
