"""The stand-in of the Conversation service."""

from pathlib import Path
from typing import Any

from orchestrator.sandbox.platform import Sandbox, run_sandbox
from tests.sandbox.conftest import Client
from tests.support.http import loopback_client

TOP = "/api/v1/conversations"


async def begin(client: Client, *contents: str) -> None:
    about = {"conversation_id": "c1", "session_id": "s1", "agent_id": "echo", "user_id": "ana"}
    assert (await client.post("conversation", TOP, about))["conversation_id"] == "c1"
    for number, content in enumerate(contents, 1):
        message = {"message_id": f"m{number}", "role": "user", "content": content}
        await client.post("conversation", f"{TOP}/c1/messages", message)


async def read(client: Client, query: str = "") -> tuple[list[str], bool]:
    page = await client.get("conversation", f"{TOP}/c1/messages{query}")
    return [message["message_id"] for message in page["messages"]], page["has_more"]


async def test_a_conversation_without_an_id_is_given_one(client: Client) -> None:
    about = await client.post("conversation", TOP, {"session_id": "s1"})
    assert about["conversation_id"]
    assert about["session_id"] == "s1"


async def test_messages_come_oldest_first(client: Client) -> None:
    await begin(client, "one", "two", "three")
    assert await read(client) == (["m1", "m2", "m3"], False)


async def test_the_last_messages_are_those_that_a_limit_leaves(client: Client) -> None:
    await begin(client, "one", "two", "three")
    assert await read(client, "?limit=2") == (["m2", "m3"], True)
    assert await read(client, "?limit=3") == (["m1", "m2", "m3"], False)


async def test_pages_go_backwards_and_forwards(client: Client) -> None:
    await begin(client, *"abcde")
    assert await read(client, "?before=m4&limit=2") == (["m2", "m3"], True)
    assert await read(client, "?before=m2&limit=2") == (["m1"], False)
    assert await read(client, "?after=m1&limit=2") == (["m2", "m3"], True)
    assert await read(client, "?after=m3&limit=2") == (["m4", "m5"], False)
    assert await read(client, "?after=m1&before=m4") == (["m2", "m3"], False)


async def test_a_message_keeps_all_its_fields(client: Client) -> None:
    await begin(client)
    message = {
        "message_id": "m1",
        "role": "assistant",
        "content": "Hello",
        "content_type": "markdown",
        "created_at": "2026-01-01T00:00:00.000Z",
        "metadata": {"sources": [1]},
    }
    assert await client.post("conversation", f"{TOP}/c1/messages", message) == message
    assert (await client.get("conversation", f"{TOP}/c1/messages"))["messages"] == [message]


async def test_a_message_with_the_same_key_is_stored_once(client: Client) -> None:
    await begin(client)
    body = {"payload": {"role": "user", "content": "hello"}}
    key = {"Idempotency-Key": "k1"}
    first = await client.ask("POST", "conversation", f"{TOP}/c1/messages", body, headers=key)
    second = await client.ask("POST", "conversation", f"{TOP}/c1/messages", body, headers=key)
    assert first.json() == second.json()
    assert len((await read(client))[0]) == 1


async def test_a_message_with_the_same_id_is_stored_once(client: Client) -> None:
    await begin(client, "hello")
    again = {"message_id": "m1", "role": "user", "content": "other"}
    assert (await client.post("conversation", f"{TOP}/c1/messages", again))["content"] == "hello"
    assert await read(client) == (["m1"], False)


async def test_the_same_key_of_another_tenant_is_another_key(client: Client, globex: Client) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await client.ask("POST", "conversation", TOP, {"payload": {}}, headers=key)
    second = await globex.ask("POST", "conversation", TOP, {"payload": {}}, headers=key)
    assert first.json() != second.json()


async def test_a_deleted_message_is_gone(client: Client) -> None:
    await begin(client, "one", "two")
    assert (await client.ask("DELETE", "conversation", f"{TOP}/c1/messages/m1")).status_code == 200
    assert await read(client) == (["m2"], False)
    again = await client.ask("DELETE", "conversation", f"{TOP}/c1/messages/m1")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "CONV_NOTF_002")


async def test_the_context_is_what_fits(client: Client) -> None:
    await begin(client, "one two three", "four five", "six")
    path = "/api/v1/internal/context/c1"
    context = await client.get("conversation", f"{path}?max_tokens=4&message_count=10")
    assert [message["content"] for message in context["messages"]] == ["four five", "six"]
    assert (context["total_tokens"], context["has_more"]) == (4, True)
    assert context["context_summary"] == "1 earlier messages are left out."
    context = await client.get("conversation", f"{path}?max_tokens=100&message_count=1")
    assert [message["content"] for message in context["messages"]] == ["six"]


async def test_a_conversation_of_another_tenant_is_not_there(client: Client, globex: Client) -> None:
    await begin(client, "secret")
    for method, path in [("GET", f"{TOP}/c1/messages"), ("GET", "/api/v1/internal/context/c1")]:
        response = await globex.ask(method, "conversation", path)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "CONV_NOTF_001")
    response = await globex.ask(
        "POST", "conversation", f"{TOP}/c1/messages", {"payload": {"role": "user", "content": "x"}}
    )
    assert response.status_code == 404


async def test_a_bad_message_is_refused_by_field(client: Client) -> None:
    await begin(client)
    for payload, word in [({"role": "king", "content": "x"}, "role"), ({"role": "user"}, "content")]:
        response = await client.ask("POST", "conversation", f"{TOP}/c1/messages", {"payload": payload})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "CONV_VAL_001")
        assert word in response.json()["error"]["message"]


async def talk(data_dir: Path, *contents: str) -> list[str]:
    async with run_sandbox(data_dir=data_dir) as sandbox, loopback_client() as http:
        client = Client(http, sandbox.urls)
        await client.post("conversation", TOP, {"conversation_id": "c1"})
        for content in contents:
            await client.post("conversation", f"{TOP}/c1/messages", {"role": "user", "content": content})
        page: dict[str, Any] = await client.get("conversation", f"{TOP}/c1/messages")
        return [message["content"] for message in page["messages"]]


async def test_a_restarted_sandbox_goes_on_where_it_was(tmp_path: Path) -> None:
    assert await talk(tmp_path, "one", "two") == ["one", "two"]
    assert await talk(tmp_path, "three") == ["one", "two", "three"]


async def test_a_line_that_a_kill_has_torn_is_dropped(tmp_path: Path) -> None:
    await talk(tmp_path, "one")
    with (tmp_path / "conversations.jsonl").open("ab") as file:
        file.write(b'{"op":"append","tenant_id":"ac')
    assert await talk(tmp_path, "two") == ["one", "two"]
    assert await talk(tmp_path) == ["one", "two"]


async def test_what_was_deleted_stays_deleted_after_a_restart(tmp_path: Path) -> None:
    async with run_sandbox(data_dir=tmp_path) as sandbox, loopback_client() as http:
        client = Client(http, sandbox.urls)
        await begin(client, "one", "two")
        await client.ask("DELETE", "conversation", f"{TOP}/c1/messages/m1")
    assert await talk(tmp_path) == ["two"]


async def test_calls_are_counted(sandbox: Sandbox, client: Client) -> None:
    await begin(client, "one", "two")
    assert sandbox.calls["conversation", "append"] == 2
    assert sandbox.calls["conversation", "create"] == 1
