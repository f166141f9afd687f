// Sessions: the list, and one with its messages and its events, live.
import { call, get, tokenCovers } from "../api.js";
import { confirmed, facts, h, table, tell } from "../dom.js";
import { counted, json, markdown, moment, number, tag } from "../format.js";
import { follow } from "../following.js";
import { poll } from "../polling.js";

const SHOWN = 500;

export async function sessions(main, { signal }) {
  const shown = h("div");
  main.append(h("h1", null, "Sessions"), shown);
  await poll(signal, 3000, async () => {
    if (shown.contains(document.activeElement)) return;
    const { data, meta } = await call("GET", "session.list", { query: { limit: 100 }, signal });
    shown.replaceChildren(table(`${counted(data.items.length, "session")}, the latest first${meta.pagination.has_more ? "; there are more" : ""}`, [
      { title: "Session", id: true, cell: (one) => h("a", { class: "mono", href: `#/sessions/${one.session_id}` }, one.session_id) }, { title: "State", sort: (one) => one.state, cell: (one) => tag(one.state) },
      { title: "User", sort: (one) => one.user_id, cell: (one) => one.user_id }, { title: "Agent", sort: (one) => one.agent_id, cell: (one) => one.agent_id },
      { title: "Messages", number: true, sort: (one) => one.message_count, cell: (one) => number(one.message_count) }, { title: "Last activity", sort: (one) => one.last_activity_at, cell: (one) => moment(one.last_activity_at) },
    ], data.items, { empty: "There are no sessions." }));
  });
}

export async function session(main, { signal, id }) {
  const one = await get(`session.get/${encodeURIComponent(id)}`, null, { signal });
  const history = await get(`chat.history/${encodeURIComponent(id)}`, { limit: 50 }, { signal }).catch(() => ({ items: [] }));
  const state = h("span", null, tag(one.state)), events = h("ol", { class: "live", tabindex: 0, "aria-label": "Events" }), link = h("span", { class: "dim" });

  async function close() {
    if (!(await confirmed("Close this session?", `Session of ${one.user_id} with ${one.agent_id}; a running turn is cancelled.`, "Close the session"))) return;
    await call("DELETE", `session.close/${encodeURIComponent(id)}`);
    tell("The session is closed.");
  }

  main.append(h("h1", null, "Session ", h("span", { class: "mono" }, id)),
    h("div", { class: "row" }, state, h("button", { class: "danger", onclick: close }, "Close")),
    h("div", { class: "columns" },
      h("section", { class: "card" }, facts([["User", one.user_id], ["Agent", `${one.agent_id} ${one.agent_version ?? ""}`], ["Messages", one.message_count], ["Created", moment(one.created_at)],
        ["Last activity", moment(one.last_activity_at)], ["Expires", moment(one.expires_at)], ["Active task", one.active_task_id && h("a", { class: "mono", href: `#/tasks/${one.active_task_id}` }, one.active_task_id)]])),
      h("section", { class: "card" }, h("h2", null, "Context and metadata"), json({ context: one.context, metadata: one.metadata }))),
    h("h2", null, "Messages"),
    h("section", { class: "card said" }, history.items.length ? history.items.map((message) =>
      h("article", { class: message.role === "user" ? "user" : "agent" }, markdown(String(message.content ?? "")), h("p", { class: "notes" }, message.role, " · ", moment(message.created_at)))) : h("p", { class: "empty" }, "None yet.")),
    ...(tokenCovers() ? [h("h2", null, "Events, live ", link), h("section", { class: "card" }, events)] : [h("p", { class: "dim" }, "Sign in with a token of the tenant to follow the events.")]));

  if (tokenCovers()) follow(`/ws/v1/chat/${encodeURIComponent(id)}`, signal, {
    status: (text) => { link.textContent = text; },
    frame: (frame) => {
      const name = `${frame.type.domain}.${frame.type.action}`;
      if (name === "session.state_update") state.replaceChildren(tag(frame.data.state));
      events.prepend(h("li", null, h("span", { class: "dim" }, `${frame.offset ?? "–"} `), h("strong", null, name), " ", h("code", null, JSON.stringify(frame.data).slice(0, 400))));
      while (events.childElementCount > SHOWN) events.lastElementChild.remove();
    },
  });
}
