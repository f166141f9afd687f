// Tenants and their queues: look, pause, resume, drain.
import { admin, call, chooseTenant, items } from "../api.js";
import { confirmed, facts, figures, h, table, tell } from "../dom.js";
import { age, counted, moment, number, share, tag } from "../format.js";
import { poll } from "../polling.js";

const link = (id) => h("a", { href: `#/tenants/${encodeURIComponent(id)}` }, id);

export async function tenants(main, { signal }) {
  const filter = h("input", { type: "search", id: "filter", placeholder: "acme" }), shown = h("div");
  const order = { column: "Backlog", down: true };
  let found = { items: [], more: false };
  const show = () => {
    const wanted = found.items.filter((one) => one.tenant_id.toLowerCase().includes(filter.value.toLowerCase()));
    shown.replaceChildren(table(`${counted(wanted.length, "tenant")}${found.more ? ", the first of more" : ""}`, [
      { title: "Tenant", id: true, sort: (one) => one.tenant_id, cell: (one) => link(one.tenant_id) }, { title: "State", sort: (one) => one.state, cell: (one) => tag(one.state) },
      { title: "Backlog", number: true, sort: (one) => one.backlog, cell: (one) => number(one.backlog) },
      ...["high", "normal", "low"].map((lane) => ({ title: lane[0].toUpperCase() + lane.slice(1), number: true, sort: (one) => one.depth[lane], cell: (one) => number(one.depth[lane]) })),
      ...[["Queued", "queued"], ["In hand", "in_hand"], ["Delayed", "delayed"], ["Dead letters", "dead_letters"]].map(([title, name]) => ({ title, number: true, sort: (one) => one[name], cell: (one) => number(one[name]) })),
      { title: "Oldest", number: true, sort: (one) => -Date.parse(one.oldest_waiting ?? 8.64e15), cell: (one) => age(one.oldest_waiting) },
      { title: "Weight", number: true, sort: (one) => one.weight, cell: (one) => one.weight },
    ], wanted, { order }));
  };
  filter.addEventListener("input", show);
  main.append(h("h1", null, "Tenants"), h("div", { class: "row" }, h("label", { class: "grow" }, "Filter by name", filter)), shown);
  await poll(signal, 3000, async () => {
    found = await items("queue.list", {}, { internal: true, signal });
    if (!shown.contains(document.activeElement)) show();
  });
}

export async function tenant(main, { signal, id }) {
  const shown = h("div"), actions = h("div", { class: "row" });
  main.append(h("h1", null, `Tenant ${id}`), actions, shown);

  async function change(action, body, ask) {
    const now = await admin(`tenant.get/${encodeURIComponent(id)}`);
    if (ask && !(await confirmed(`${ask} ${id}?`, `${number(now.backlog)} tasks are not done: ${number(now.queued)} queued, ${number(now.in_hand)} in hand, ${number(now.delayed)} delayed, and those that wait behind others.`, ask))) return;
    const { data } = await call("POST", `tenant.${action}/${encodeURIComponent(id)}`, { internal: true, body });
    tell(`${id} is ${data.state}.`);
    show(data);
  }

  function show(one) {
    actions.replaceChildren(
      one.state === "active" ? h("button", { onclick: () => change("pause", undefined, "Pause") }, "Pause") : h("button", { class: "main", onclick: () => change("resume") }, "Resume"),
      h("button", { class: "danger", disabled: one.state === "draining", onclick: () => change("drain", {}, "Drain") }, "Drain"),
      h("button", { onclick: () => { chooseTenant(id); location.hash = "#/tasks"; } }, "Tasks of this tenant"),
      h("a", { href: `#/dead-letters/${encodeURIComponent(id)}` }, `Dead letters (${number(one.dead_letters)})`));
    shown.replaceChildren(
      figures([["State", one.state], ["Backlog", number(one.backlog)], ["Queued", number(one.queued)], ["In hand", number(one.in_hand)], ["Delayed", number(one.delayed)],
        ["Parked", number(one.parked)], ["Behind others", number(one.behind_users + one.behind_sessions + one.batch_items)], ["Oldest waiting", age(one.oldest_waiting)], ["Dead letters", number(one.dead_letters)]]),
      one.state === "draining" || one.state === "drained" ? h("p", { class: "card" }, one.state === "drained" ? "Drained: nothing of this tenant can start." : `Draining: ${number(one.backlog)} left.`, one.drain_deadline ? [" Deadline ", moment(one.drain_deadline)] : null) : "",
      h("h2", null, "Quotas"),
      table("Quotas, and how much of them is used", [
        { title: "Quota", cell: ([name]) => name }, { title: "Used", number: true, cell: ([, quota]) => number(quota.used) },
        { title: "Limit", number: true, cell: ([, quota]) => (quota.limit === null ? "none" : number(quota.limit)) },
        { title: "Share", number: true, cell: ([, quota]) => h("span", { class: quota.limit && quota.used >= 0.8 * quota.limit ? "bad" : null }, share(quota.used, quota.limit)) },
      ], Object.entries(one.quotas ?? {})),
      h("h2", null, "Configuration"),
      h("div", { class: "card" }, facts([["Tier", one.tier ?? "default"], ["Weight", one.weight], ["Users share fairly", one.fair_users ? "yes" : "no"],
        ...Object.entries({ ...one.limits, ...one.spending }).filter(([, value]) => value !== null).map(([name, value]) => [name, number(value)])])));
  }

  await poll(signal, 2000, async () => show(await admin(`tenant.get/${encodeURIComponent(id)}`, null, { signal })));
}
