"""A whole conversation in the words of the guide for frontends, as one client has it."""

from typing import Any

from tests.platform.served import MESSAGE, SESSION, Served, Told, lacks, sent

API = "/api/v1/"


def test_a_client_of_the_guide_talks_runs_work_and_leaves(served: Served) -> None:
    def ask(method: str, path: str, name: str = "", **ids: str) -> Told:
        placed = {SESSION: ids.get("session_id", ""), MESSAGE: ids.get("message_id", "")}
        told = served.ask(method, API + path, sent(name, placed) if name else None)
        assert told.status < 300, told.json
        return told

    def until(path: str, status: str) -> Any:
        look = f"{API}{path}"
        return served.until(path, lambda: served.ask("GET", look).data, lambda data: data["status"] == status)

    session_id = ask("POST", "session.create", "rest-session-create-req").data["session_id"]
    said = ask("POST", "chat.message", "rest-chat-message-req", session_id=session_id).data
    until(f"workflow.status/{said['workflow_id']}", "completed")
    history = ask("GET", f"chat.history/{session_id}?limit=20")
    assert [message["role"] for message in history.data["messages"]] == ["user", "assistant"]
    cancel = ask(
        "POST",
        f"chat.cancel/{said['chat_message_id']}",
        "rest-chat-cancel-req",
        session_id=session_id,
        message_id=said["chat_message_id"],
    )
    assert cancel.data["cancelled"] is False
    batch = ask("POST", "workflow.batch", "rest-workflow-batch-req").data
    until(f"workflow.status/{batch['workflow_id']}", "completed")
    results = ask("GET", f"workflow.results/{batch['workflow_id']}")
    assert lacks("rest-workflow-results-res", results) == []
    run = ask("POST", "workflow.execute", "rest-workflow-execute-req").data
    until(f"workflow.status/{run['task_id']}", "completed")
    paused = ask("PUT", f"session.pause/{session_id}").data
    assert (paused["status"], paused["messages_count"]) == ("inactive", 1)
    assert session_id in [one["session_id"] for one in ask("GET", "session.list?status=inactive").data["items"]]
    assert ask("DELETE", f"session.close/{session_id}").data["status"] == "closed"
    gone = served.ask("POST", f"{API}chat.message", sent("rest-chat-message-req", {SESSION: session_id}))
    assert (gone.status, gone.data["code"]) == (410, "SESSION.EXPIRED")
