"""What makes a request the same as an earlier one, also as an earlier version had it."""

import orjson

from orchestrator.models.tasks.batch import BatchCreate, BatchItem, BatchOperation
from orchestrator.services.scheduling.batches import _digest
from orchestrator.services.shared.idempotency import without_unsaid

ADDED = frozenset({"operation", "item_id"})


def test_a_request_that_says_nothing_new_is_what_it_was_before_the_new_fields() -> None:
    request = BatchCreate([BatchItem("one")], agent_id="echo")
    same = without_unsaid(request, ADDED)
    assert list(same) == [
        "items", "agent_id", "workflow_id", "max_concurrency", "on_item_error", "priority", "callback", "scheduled_for",
    ]  # fmt: skip
    assert orjson.dumps(without_unsaid(request.items[0], ADDED)) == b'{"content":"one","input":null,"metadata":{}}'


def test_what_says_something_new_is_another_request() -> None:
    plain = _digest(BatchCreate([BatchItem("one")], agent_id="echo"))
    assert plain == _digest(BatchCreate([BatchItem("one")], agent_id="echo"))
    assert plain != _digest(BatchCreate([BatchItem("one", item_id="a")], agent_id="echo"))
    assert plain != _digest(BatchCreate([BatchItem("one")], operation=BatchOperation.EMBEDDING))
