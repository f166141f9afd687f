// Tasks: the list, and one with its input, timeline and replay.
import { call, get } from "../api.js";
import { confirmed, facts, h, svg, table, tell } from "../dom.js";
import { duration, json, moment, tag } from "../format.js";
import { poll } from "../polling.js";
import { taskFilters } from "./task_filters.js";

const ENDED = ["completed", "failed", "cancelled", "partial"];
/** Which facts of a workflow its task does not have, as `tasks show` of the command line has them too. */
const progressOf = (flow) => flow && [["Workflow", flow.workflow_id], ["Steps", flow.steps_total ? `${flow.steps_completed} of ${flow.steps_total}` : null], ["Current step", flow.current_step],
  ["Says", flow.status_message], ["Asks for input", flow.input_request && `${flow.input_request.prompt} (${flow.input_request.node_id})`]];
const took = (one) => (one.started_at ? duration(Date.parse(one.finished_at ?? new Date().toISOString()) - Date.parse(one.started_at)) : "–");

export async function tasks(main, { signal, query }) {
  const filters = taskFilters(query, () => load(false));
  const count = h("p", { class: "dim", role: "status" }), shown = h("div"), more = h("button", { hidden: true, onclick: () => load(true) }, "More");
  let cursor = null, found = [], asking = new AbortController();

  async function load(goesOn) {
    // Answers to an earlier choice must not come after those to a later one.
    asking.abort();
    asking = new AbortController();
    const { data, meta } = await call("GET", "task.list", { query: { ...filters.query(), limit: 50, cursor: goesOn ? cursor : null }, signal: AbortSignal.any([signal, asking.signal]) });
    found = goesOn ? [...found, ...data.items] : data.items;
    cursor = meta.pagination.next_cursor;
    more.hidden = !meta.pagination.has_more;
    count.textContent = `${found.length} ${found.length === 1 ? "task" : "tasks"}${meta.pagination.has_more ? "; there are more" : ""}`;
    filters.suggest(found);
    shown.replaceChildren(table("The newest first", [
      { title: "Task", id: true, cell: (one) => h("a", { class: "mono", href: `#/tasks/${one.task_id}` }, one.task_id) }, { title: "Type", cell: (one) => one.type },
      { title: "Status", cell: (one) => h("span", null, tag(one.status), one.cancelled_by && h("span", { class: "dim" }, ` by ${one.cancelled_by}`)) }, { title: "Agent", cell: (one) => one.agent_id }, { title: "User", cell: (one) => one.user_id },
      { title: "Created", cell: (one) => moment(one.created_at) }, { title: "Took", number: true, cell: took }, { title: "Error", cell: (one) => one.error?.code },
    ], found, { empty: "No task matches." }));
  }

  const open = h("input", { placeholder: "task id", pattern: "[A-Za-z0-9_.\\-]{1,64}", required: true });
  main.append(h("h1", null, "Tasks"), filters.element,
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); location.hash = `#/tasks/${open.value}`; } }, h("label", null, "Open a task", open), h("button", null, "Open")),
    count, shown, h("div", { class: "row" }, more));
  await load(false);
}

export async function task(main, { signal, id }) {
  const shown = h("div");
  main.append(h("h1", null, "Task ", h("span", { class: "mono" }, id)), shown);
  let ended = false;
  await poll(signal, 2000, async () => {
    if (ended) return;
    const one = await get(`task.get/${encodeURIComponent(id)}`, null, { signal });
    const [timeline, wait, flow] = await Promise.all([
      get(`task.trace/${encodeURIComponent(one.correlation_id)}`, null, { signal }).catch(() => null),
      ENDED.includes(one.status) ? null : get(`task.why/${encodeURIComponent(id)}`, null, { signal }).catch(() => null),
      one.type === "workflow.execute" ? get(`workflow.status/${encodeURIComponent(id)}`, null, { signal }).catch(() => null) : null,
    ]);
    ended = ENDED.includes(one.status);
    shown.replaceChildren(...page(one, timeline, wait, flow));
  });
}

function page(one, timeline, wait, flow) {
  return [
    h("div", { class: "row" }, tag(one.status),
      ENDED.includes(one.status) ? h("button", { class: "main", onclick: () => replay(one) }, "Replay") : h("button", { class: "danger", onclick: () => cancel(one) }, "Cancel")),
    h("div", { class: "columns" },
      h("section", { class: "card" }, facts([["Type", one.type], ["Tenant", one.tenant_id], ["User", one.user_id], ["Agent", one.agent_id && `${one.agent_id} ${one.agent_version ?? ""}`],
        ["Session", one.session_id && h("a", { class: "mono", href: `#/sessions/${one.session_id}` }, one.session_id)], ["Message", one.message_id && h("span", { class: "mono" }, one.message_id)], ["Attempt", one.attempt], ["Priority", one.priority],
        ["Created", moment(one.created_at)], ["Started", moment(one.started_at)], ["Finished", moment(one.finished_at)], ["Took", took(one)], ["Scheduled for", moment(one.scheduled_for)],
        ["Cancelled by", one.cancelled_by], ["Reason", one.cancel_reason], ...(progressOf(flow) ?? []), ["Checkpoints", one.checkpoints?.join(", ")],
        ["Correlation", h("span", { class: "mono" }, one.correlation_id)], ["Replay of", one.replay_of && h("a", { href: `#/tasks/${one.replay_of}` }, one.replay_of)],
        ["Replayed as", one.replayed_as && h("a", { href: `#/tasks/${one.replayed_as}` }, one.replayed_as)]])),
      one.error ? h("section", { class: "card" }, h("p", { class: "bad" }, one.error.message), h("p", null, h("code", null, one.error.code), one.error.service && ` of ${one.error.service}`, one.error.retryable ? ", can be retried" : ""), json(one.error.details ?? [])) : "",
      wait ? h("section", { class: "card" }, h("h2", null, "Why it waits"), h("p", null, wait.says), facts(Object.entries(wait).filter(([name]) => !["task_id", "status", "says"].includes(name)).map(([name, value]) => [name.replaceAll("_", " "), value]))) : ""),
    h("h2", null, "Timeline"), timeline ? timelineOf(timeline) : h("p", { class: "empty" }, "The timeline is no longer kept."),
    one.input ? [h("h2", null, "Input"), json(one.input)] : [], h("h2", null, "Result"), one.result ? json(one.result) : h("p", { class: "empty" }, "None yet."),
  ].flat();
}

function timelineOf(timeline) {
  const whole = Math.max(1, timeline.duration_ms);
  return h("section", { class: "card" }, h("p", { class: "dim" }, `${timeline.steps.length} steps in ${duration(timeline.duration_ms)}`),
    h("ol", { class: "timeline" }, timeline.steps.map((step, place) => {
      const from = (step.after_ms / whole) * 100, to = ((timeline.steps[place + 1]?.after_ms ?? timeline.duration_ms) / whole) * 100;
      return h("li", null, h("span", { class: "dim" }, `+${duration(step.after_ms)}`), h("span", null, step.step, step.detail ? h("span", { class: "dim" }, ` ${step.detail}`) : null),
        svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "span", x: Math.min(from, 99.5), y: 2, width: Math.max(0.5, to - from), height: 6 })));
    })));
}

async function cancel(one) {
  if (!(await confirmed("Cancel this task?", `${one.type} of ${one.user_id}, ${one.status}. What it has streamed is kept.`, "Cancel the task"))) return;
  const { data } = await call("POST", `task.cancel/${encodeURIComponent(one.task_id)}`);
  tell(data.cancelled ? "The task is cancelled." : "The task had ended before; nothing was cancelled.");
}

async function replay(one) {
  const plan = (await call("POST", `task.replay/${encodeURIComponent(one.task_id)}`, { body: { dry_run: true } })).data;
  if (!(await confirmed("Replay this task?", `A new task with the same input${plan.reused.length ? `; taken over: ${plan.reused.join(", ")}` : ""}. The old one stays.`, "Replay"))) return;
  const { data } = await call("POST", `task.replay/${encodeURIComponent(one.task_id)}`, { body: {} });
  location.hash = `#/tasks/${data.task_id}`;
}
