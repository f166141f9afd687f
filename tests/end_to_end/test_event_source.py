"""A browser's own `EventSource` follows a session: with a ticket, across a loss of the connection."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.stack import open_stack
from tests.support.browser import Tab, in_browser

pytestmark = pytest.mark.browser
FOLLOW: Final = """async ({ session, token, contents }) => {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const seen = [];
  let last = "";
  for (const content of contents) {
    const made = await fetch(`/api/v1/session.ticket/${session}`, { method: "POST", headers, body: "{}" });
    const { ticket } = (await made.json()).data;
    const query = new URLSearchParams({ ticket, ...(last && { last_event_id: last }) });
    const source = new EventSource(`/api/v1/session.stream/${session}?${query}`);
    await new Promise((opened) => source.addEventListener("session.state_update", opened, { once: true }));
    const answered = new Promise((ended, failed) => {
      source.onerror = failed;
      for (const name of ["chat.status_update", "chat.stream", "chat.completed"]) {
        source.addEventListener(name, (event) => {
          last = event.lastEventId;
          const frame = JSON.parse(event.data);
          seen.push([name, last, `${frame.epoch}-${frame.offset}`, frame.data.content ?? ""]);
          if (name === "chat.completed" && frame.data.content.endsWith(content)) ended();
        });
      }
    });
    const body = JSON.stringify({ session_id: session, content });
    await fetch("/api/v1/chat.message", { method: "POST", headers, body });
    await answered;
    source.close();
  }
  return seen;
}"""


async def test_an_event_source_with_a_ticket_sees_each_event_once_over_two_connections(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        session = await stack.session()
        given = {"session": session, "token": stack.token(), "contents": ["good morning", "good night"]}
        found: list[Any] = []

        def drive(tab: Tab) -> None:
            tab.page.goto(f"{stack.node.url}/docs")
            found.extend(tab.page.evaluate(FOLLOW, given))

        await in_browser(drive)
        assert all(event_id == of_frame for _, event_id, of_frame, _ in found)
        ids = [event_id for _, event_id, _, _ in found]
        assert ids == sorted(set(ids), key=lambda one: int(one.rpartition("-")[2]))
        answers = [content for name, _, _, content in found if name == "chat.completed"]
        assert [answer.rpartition(" ")[2] for answer in answers] == ["morning", "night"]
