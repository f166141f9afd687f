// What chooses tasks: a form, which stands in the address of the page too, so that a choice can be kept and sent.
import { h } from "../dom.js";
import { momentOf } from "../format.js";

const STATUSES = ["pending", "processing", "waiting", "retrying", "completed", "failed", "cancelled", "partial"];
const WHEN = "A duration before now, such as 15m, 1h or 7d, or a day or timestamp, such as 2026-01-31.";
/** The fields, by their names in `task.list`; `seen` is what tasks of the list suggest. */
const FIELDS = [
  { name: "type", title: "Type", hint: "chat.message", seen: (one) => one.type },
  { name: "agent_id", title: "Agent", seen: (one) => one.agent_id },
  { name: "user_id", title: "User", seen: (one) => one.user_id },
  { name: "error_code", title: "Error code", hint: "ORCH_CONN_001", seen: (one) => one.error?.code },
  { name: "session_id", title: "Session", seen: (one) => one.session_id },
  { name: "since", title: "Since", hint: "1h", when: true },
  { name: "until", title: "Until", hint: "5m", when: true },
];

/**
 * Make the form. `changed` is called whenever it is sent, a status is chosen, or all is cleared.
 * Returns its element, `query()` for `task.list`, and `suggest(tasks)`, which offers their values.
 */
export function taskFilters(given, changed) {
  const status = h("select", { name: "status" }, h("option", { value: "" }, "any"), STATUSES.map((one) => h("option", { selected: one === given.get("status") }, one)));
  const known = FIELDS.map((field) => ({
    ...field, values: new Set(), list: field.seen && h("datalist", { id: `seen-${field.name}` }),
    input: h("input", { name: field.name, value: given.get(field.name) ?? "", placeholder: field.hint, list: field.seen && `seen-${field.name}`, autocomplete: "off", spellcheck: "false", "aria-description": field.when && WHEN }),
  }));
  const form = h("form", { class: "row filters", role: "search", "aria-label": "Filter the tasks", onsubmit: (event) => { event.preventDefault(); send(); }, onreset: clear },
    h("label", null, "Status", status), known.map(({ title, input, list }) => [h("label", null, title, input), list]),
    h("button", { class: "main" }, "Show"), h("button", { type: "reset" }, "Clear"));

  function clear(event) {
    // The form's own way goes back to the values of the address.
    event.preventDefault();
    for (const field of [status, ...known.map(({ input }) => input)]) field.value = "";
    send();
  }

  function send() {
    for (const { when, input } of known) {
      input.value = input.value.trim();
      input.setCustomValidity(when && input.value && !momentOf(input.value) ? WHEN : "");
    }
    if (!form.reportValidity()) return;
    const chosen = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", `#/tasks${chosen.size ? `?${chosen}` : ""}`);
    changed();
  }

  status.addEventListener("change", send);
  for (const { input } of known) input.addEventListener("input", () => input.setCustomValidity(""));
  return {
    element: form,
    query: () => ({ status: status.value, ...Object.fromEntries(known.map(({ name, when, input }) => [name, when ? momentOf(input.value) : input.value])) }),
    suggest(tasks) {
      for (const { seen, values, list } of known) {
        if (!seen) continue;
        for (const value of tasks.map(seen)) if (value) values.add(value);
        list.replaceChildren(...[...values].sort().slice(0, 100).map((value) => h("option", { value })));
      }
    },
  };
}
