// Dead letters of a tenant, by code, with replay in bulk.
import { account, call, chooseTenant, items } from "../api.js";
import { confirmed, h, table, tell } from "../dom.js";
import { moment, number } from "../format.js";

const ROUNDS = 1000;

export async function deadLetters(main, { signal, id }) {
  const known = (await items("queue.list", {}, { internal: true, signal })).items.map((one) => one.tenant_id);
  const chosen = id ?? (known.includes(account.tenant) ? account.tenant : known[0]);
  const pick = h("select", { onchange: () => { location.hash = `#/dead-letters/${encodeURIComponent(pick.value)}`; } },
    [...new Set([...known, chosen].filter(Boolean))].map((one) => h("option", { value: one, selected: one === chosen }, one)));
  const shown = h("div");
  main.append(h("h1", null, "Dead letters"), h("div", { class: "row" }, h("label", null, "Tenant", pick)), shown);
  if (!account.tenant && chosen) chooseTenant(chosen);
  if (!chosen) { shown.append(h("p", { class: "empty" }, "There is no tenant yet.")); return; }
  const options = { internal: true, tenant: chosen };

  async function load() {
    const { items: letters, more } = await items(`dlq.list/${encodeURIComponent(chosen)}`, {}, { ...options, signal, most: 2000 });
    const codes = Map.groupBy ? Map.groupBy(letters, (one) => one.error.code) : group(letters);
    shown.replaceChildren(
      table(`${number(letters.length)} dead letters${more ? ", the first of more" : ""}, by code`, [
        { title: "Code", id: true, cell: ([code]) => h("code", null, code) }, { title: "Count", number: true, cell: ([, some]) => number(some.length) },
        { title: "Replayed", number: true, cell: ([, some]) => number(some.filter((one) => one.replayed_as).length) },
        { title: "Example", cell: ([, some]) => some[0].error.message },
        { title: "Do", cell: ([code, some]) => h("button", { onclick: (event) => replay(event.target, code, some) }, "Replay") },
      ], [...codes.entries()], { empty: "There are no dead letters." }),
      h("h2", null, "The latest"),
      table("The latest dead letters", [
        { title: "At", cell: (one) => moment(one.at) }, { title: "Code", id: true, cell: (one) => h("code", null, one.error.code) }, { title: "Type", cell: (one) => one.type },
        { title: "Task", id: true, cell: (one) => one.task_id && h("a", { class: "mono", href: `#/tasks/${one.task_id}`, onclick: () => chooseTenant(chosen) }, one.task_id) },
        { title: "Attempts", number: true, cell: (one) => one.attempts }, { title: "Error", cell: (one) => one.error.message },
        { title: "Replayed as", cell: (one) => one.replayed_as && h("span", { class: "mono" }, one.replayed_as) },
      ], letters.slice(0, 100), { empty: "None." }));
  }

  async function replay(button, code, some) {
    const open = some.filter((one) => !one.replayed_as).length;
    if (!(await confirmed("Replay dead letters?", `${number(open)} of ${chosen} with the code ${code} become new tasks; ${number(some.length - open)} were replayed before and are passed over.`, "Replay"))) return;
    button.disabled = true;
    let done = 0, refused = 0;
    // A request replays 100 at most; rounds are bounded, so that letters that come back do not keep this going for ever.
    for (let round = 0; round < ROUNDS && !signal.aborted; round += 1) {
      const { data } = await call("POST", `dlq.replay/${encodeURIComponent(chosen)}`, { ...options, body: { error_code: code } });
      done += data.replayed;
      refused += data.refused;
      button.textContent = `${number(done)} replayed`;
      if (!data.more || !data.replayed) break;
    }
    tell(`${number(done)} dead letters of ${chosen} were replayed${refused ? `, ${number(refused)} refused` : ""}.`, { bad: refused > 0 });
    await load();
  }

  await load();
}

function group(letters) {
  const codes = new Map();
  for (const one of letters) codes.set(one.error.code, [...(codes.get(one.error.code) ?? []), one]);
  return codes;
}
