// The whole service: processes, queues, breakers of downstream services.
import { admin } from "../api.js";
import { figures, h, table } from "../dom.js";
import { age, counted, duration, moment, number, tag } from "../format.js";
import { spark } from "../plots.js";
import { poll } from "../polling.js";

const KEPT = 60;

export async function overview(main, { signal }) {
  const past = { backlog: [], queued: [], ends: [], wait: [] };
  const shown = h("div");
  main.append(h("h1", null, "Overview"), shown);
  await poll(signal, 2000, async () => {
    const load = await admin("orchestrator.load", { top: 20 }, { signal });
    keep(past.backlog, load.backlog);
    keep(past.queued, load.queued);
    keep(past.ends, load.ends_per_second);
    keep(past.wait, load.waits.p99_ms);
    shown.replaceChildren(...page(load, past));
  });
}

function keep(values, value) {
  values.push(value);
  if (values.length > KEPT) values.shift();
}

function page(load, past) {
  const live = load.nodes.filter((node) => node.live).length;
  return [
    figures([
      ["Processes", live], ["Tasks in hand", `${number(load.in_hand)} of ${number(load.slots)}`],
      ["Backlog", number(load.backlog), spark(past.backlog, "backlog")], ["Queued", number(load.queued), spark(past.queued, "queued")], ["Delayed", number(load.delayed)],
      ["Oldest waiting", age(load.oldest_waiting)], ["Ends a second", load.ends_per_second.toFixed(1), spark(past.ends, "ends a second")],
      ["Wait p99", duration(load.waits.p99_ms), spark(past.wait, "wait, 99th percentile in ms")], ["Dead letters", number(load.dead_letters)],
    ]),
    h("h2", null, "Busiest tenants"),
    table(`${load.tenants.length} of ${counted(load.tenants_seen, "tenant")}`, [
      { title: "Tenant", id: true, cell: (one) => h("a", { href: `#/tenants/${encodeURIComponent(one.tenant_id)}` }, one.tenant_id) },
      { title: "State", cell: (one) => tag(one.state) },
      { title: "Backlog", number: true, cell: (one) => number(one.backlog) },
      { title: "Queued", number: true, cell: (one) => number(one.queued) }, { title: "In hand", number: true, cell: (one) => number(one.in_hand) },
      { title: "Delayed", number: true, cell: (one) => number(one.delayed) },
      { title: "Dead letters", number: true, cell: (one) => one.dead_letters ? h("a", { href: `#/dead-letters/${encodeURIComponent(one.tenant_id)}` }, number(one.dead_letters)) : "0" },
      { title: "Oldest", number: true, cell: (one) => age(one.oldest_waiting) }, { title: "Accepted a minute", number: true, cell: (one) => number(one.accepted_per_minute) },
    ], load.tenants, { empty: "No tenant has work." }),
    h("h2", null, "Processes"),
    table("Processes of the service", [
      { title: "Process", id: true, cell: (one) => h("span", { class: "mono" }, one.node) }, { title: "Host", cell: (one) => one.load && `${one.load.host} (${one.load.pid})` },
      { title: "State", cell: (one) => tag(one.live ? "live" : "gone") }, { title: "In hand", number: true, cell: (one) => one.load && `${one.load.in_hand} of ${one.load.slots}` },
      { title: "Limit now", number: true, cell: (one) => one.load?.limit ? number(one.load.limit) : "" }, { title: "Loop busy", number: true, cell: (one) => one.load?.loop_busy === undefined ? "" : `${Math.round(100 * one.load.loop_busy)}%` },
      { title: "Ends a second", number: true, cell: (one) => one.load?.ends_per_second.toFixed(1) },
      { title: "Version", cell: (one) => one.load?.version }, { title: "Heartbeat", number: true, cell: (one) => `${duration(one.heartbeat_age_ms)} ago` },
    ], load.nodes, { empty: "No process has said that it lives." }),
    h("h2", null, "Circuit breakers"),
    table("Downstream services with an open breaker", [
      { title: "Service", cell: ([name]) => name }, { title: "State", cell: () => tag("open") }, { title: "Processes", number: true, cell: ([, count]) => `${count} of ${live}` },
    ], Object.entries(load.breakers ?? {}), { empty: "All breakers are closed." }),
    h("h2", null, "System events"),
    table("The last events of the system", [
      { title: "At", cell: (one) => moment(one.at) }, { title: "Event", cell: (one) => one.name }, { title: "Process", cell: (one) => h("span", { class: "mono" }, one.node) },
      { title: "About", cell: (one) => Object.entries(one.about ?? {}).map(([name, value]) => `${name} ${value}`).join(", ") },
    ], load.notices ?? [], { empty: "None yet." }),
  ];
}
