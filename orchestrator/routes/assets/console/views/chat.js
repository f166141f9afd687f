// A playground: chat with an agent, with its tools and sources.
import { account, call, get } from "../api.js";
import { h, tell } from "../dom.js";
import { follow } from "../following.js";
import { counted, duration, json, markdown } from "../format.js";

const FIRST = "docs-guide";

export async function chat(main, { signal }) {
  const { items } = await get("agent.list", { limit: 200 }, { signal });
  const agent = h("select", null, items.map((one) => h("option", { value: one.agent_id, title: one.description, selected: one.agent_id === FIRST }, one.name ?? one.agent_id)));
  const state = h("span", { class: "dim", role: "status" }), said = h("div", { class: "said", role: "log", "aria-label": "Conversation" });
  const text = h("textarea", { rows: 2, placeholder: "Ask something", "aria-label": "Message", onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); ask(); } } });
  const send = h("button", { class: "main" }, "Send"), stop = h("button", { type: "button", disabled: true, onclick: cancel }, "Cancel");
  const turns = new Map();
  let open = null, opening = null, begun = 0, running = null;

  main.append(h("h1", null, "Chat"),
    h("div", { class: "row" }, h("label", null, "Agent", agent), h("button", { onclick: begin }, "New session"), state),
    h("div", { class: "chat" }, said,
      h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); ask(); } }, h("div", { class: "grow" }, text), send, stop)));
  agent.addEventListener("change", begin);
  signal.addEventListener("abort", () => { begun += 1; open?.end.abort(); });

  // Leaves the session at once. Until the next one is there, what is said waits for it.
  function begin() {
    open?.end.abort();
    open = running = null;
    stop.disabled = true;
    state.textContent = "A session is being created";
    said.replaceChildren();
    turns.clear();
    text.focus();
    opening = create(++begun);
    return opening;
  }

  async function create(number) {
    try {
      const { data } = await call("POST", "session.create", { body: { agent_id: agent.value } });
      if (number !== begun) return;  // Another agent was chosen since.
      const end = new AbortController();
      open = { end, id: data.session_id, send: follow(`/ws/v1/chat/${data.session_id}`, end.signal, { frame, status: (words) => { state.textContent = `Session ${data.session_id}: ${words}`; } }) };
    } catch (error) {
      if (number === begun) { opening = null; state.textContent = "There is no session"; }
      throw error;
    }
  }

  async function ask() {
    const content = text.value.trim();
    if (!content) return;
    text.value = "";
    try {
      while (!open && !signal.aborted) await (opening ?? begin());
    } catch (error) {
      text.value ||= content;
      throw error;
    }
    if (signal.aborted) return;
    const { messageId } = open.send("chat", "message", { content });
    said.append(h("article", { class: "user" }, content));
    turn(messageId);
  }

  function turn(id) {
    if (!turns.has(id)) {
      const answer = h("div"), notes = h("div", { class: "notes busy" }, "queued"), article = h("article", { class: "agent" }, answer, notes);
      said.append(article);
      turns.set(id, { answer, notes, article, text: "", thinking: "", tools: h("div"), running: new Map() });
      article.append(turns.get(id).tools);
      article.scrollIntoView({ block: "nearest" });
    }
    return turns.get(id);
  }

  // What ran when a turn ended or started over has no result any more.
  function noneRuns(one) {
    for (const { row } of one.running.values()) row.remove();
    one.running.clear();
  }

  function cancel() {
    if (running) open?.send("chat", "cancel", { message_id: running });
  }

  const shown = {
    "chat.status_update": ({ message_id: id, status, cancelled_by: by }) => {
      const one = turn(id);
      const busy = ["queued", "processing"].includes(status);
      if (status !== "completed") one.notes.textContent = status === "failed" && one.failure ? one.failure : by ? `${status} by ${by}` : status;
      if (!busy) noneRuns(one);
      one.notes.classList.toggle("busy", busy);
      running = busy ? id : running === id ? null : running;
      stop.disabled = running === null;
    },
    "chat.stream": ({ parent_message_id: id, chunk, content_type: kind }) => {
      const one = turn(id);
      if (kind === "thinking") { one.thinking += chunk; one.notes.textContent = `thinking: ${one.thinking.slice(-200)}`; return; }
      one.text += chunk;
      one.answer.replaceChildren(...markdown(one.text));
      one.article.scrollIntoView({ block: "nearest" });
    },
    "chat.stream_reset": ({ parent_message_id: id }) => { const one = turn(id); one.text = ""; one.answer.replaceChildren(); noneRuns(one); },
    "chat.completed": ({ parent_message_id: id, content, sources, tool_calls: tools, usage, processing_time_ms: ms }) => {
      const one = turn(id);
      one.answer.replaceChildren(...markdown(content));
      one.notes.textContent = [usage && counted(usage.total_tokens, "token"), duration(ms)].filter(Boolean).join(" · ");
      one.notes.classList.remove("busy");
      if (sources?.length) one.article.append(h("details", null, h("summary", null, counted(sources.length, "source")), h("ol", null, sources.map((source) => h("li", null, source.heading ?? source.title ?? "source", " ", h("code", null, source.path ?? source.url ?? ""))))));
      if (tools?.length) one.article.append(h("details", null, h("summary", null, counted(tools.length, "tool call")), json(tools)));
      one.article.scrollIntoView({ block: "nearest" });
    },
    "tool.execute": (request) => askTool(turn(request.parent_message_id), request),
    "tool.started": ({ parent_message_id: id, tool_call_id: call, tool_id: tool, params }) => {
      const one = turn(id), row = h("p", { class: "notes busy" }, h("code", null, tool), ` ${JSON.stringify(params).slice(0, 200)} is running`);
      one.running.get(call)?.row.remove();
      one.running.set(call, { tool, row });
      one.tools.append(row);
      row.scrollIntoView({ block: "nearest" });
    },
    "tool.result": ({ parent_message_id: id, tool_call_id: call, result }) => {
      const one = turn(id), started = one.running.get(call);
      const done = h("details", null, h("summary", null, `${started?.tool ?? "tool result"}: ${result.status}`), json(result));
      if (started) started.row.replaceWith(done); else one.tools.append(done);
      one.running.delete(call);
    },
    "session.snapshot": ({ messages }) => { said.replaceChildren(...messages.map((one) => h("article", { class: one.role === "user" ? "user" : "agent" }, markdown(String(one.content ?? ""))))); turns.clear(); },
    "system.error": (error) => {
      const says = error.error_message ?? error.error?.message ?? "The service refused a frame.", one = turns.get(error.parent_id);
      // The reason stays with its turn; what is told at the foot of the page goes after a while.
      if (one) { one.failure = one.notes.textContent = `failed: ${says} (${error.error_code ?? error.error?.code})`; one.notes.classList.remove("busy"); }
      tell(says, { bad: true });
    },
  };

  function frame({ type, data }) {
    shown[`${type.domain}.${type.action}`]?.(data);
  }

  function askTool(one, { tool_call_id: id, tool_id: tool, params }) {
    const data = h("input", { value: '{"confirmed": true}', "aria-label": "Result as JSON" });
    const form = h("form", { class: "row" }, h("p", { class: "grow" }, "The agent asks for ", h("code", null, tool), " with ", h("code", null, JSON.stringify(params))), h("label", null, "Result", data),
      h("button", { class: "main" }, "Answer"), h("button", { type: "button", onclick: () => reply({ status: "error", error_message: "The user declined." }) }, "Decline"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try { reply({ status: "success", data: JSON.parse(data.value) }); } catch { tell("The result is not JSON.", { bad: true }); }
    });
    function reply(result) { open?.send("tool", "result", { tool_call_id: id, result }); form.remove(); }
    one.tools.append(form);
    data.focus();
  }

  if (account.token) await begin();
}
