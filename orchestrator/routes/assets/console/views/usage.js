// Usage of language models and embeddings: by day, by model, by agent.
import { get } from "../api.js";
import { figures, h, table } from "../dom.js";
import { number } from "../format.js";
import { bars } from "../plots.js";

const DAY = 86_400_000;
const day = (time) => new Date(time).toISOString().slice(0, 10);

export async function usage(main, { signal }) {
  const from = h("input", { type: "date", value: day(Date.now() - 13 * DAY) }), to = h("input", { type: "date", value: day(Date.now()) });
  const shown = h("div");

  async function load() {
    const range = { from: from.value, to: to.value };
    const [days, models, agents] = await Promise.all(["day", "model", "agent"].map((group_by) => get("usage.get", { ...range, group_by }, { signal })));
    if (range.from !== from.value || range.to !== to.value) return;  // Another time was chosen since.
    const known = new Map(days.items.map((one) => [one.key, one]));
    const all = [];
    for (let time = Date.parse(range.from); time <= Date.parse(range.to) && all.length < 400; time += DAY) {
      const one = known.get(day(time));
      all.push({ label: day(time).slice(5), parts: [one?.prompt_tokens ?? 0, one?.completion_tokens ?? 0] });
    }
    const { totals } = days;
    shown.replaceChildren(
      figures([["Requests", number(totals.requests)], ["From the cache", number(totals.cached)], ["Prompt tokens", number(totals.prompt_tokens)], ["Completion tokens", number(totals.completion_tokens)], ["Cost", totals.cost.toFixed(4)]]),
      h("h2", null, "By day"), bars("Tokens a day", all, ["prompt", "completion"]),
      ...[["model", models], ["agent", agents]].map(([name, found]) => [h("h2", null, `By ${name}`), table(`Usage by ${name}`, [
        { title: name[0].toUpperCase() + name.slice(1), sort: (one) => one.key, cell: (one) => one.key || "none" }, ...[["Requests", "requests"], ["Cached", "cached"], ["Prompt", "prompt_tokens"], ["Completion", "completion_tokens"], ["Total", "total_tokens"]].map(([title, field]) => ({ title, number: true, sort: (one) => one[field], cell: (one) => number(one[field]) })),
        { title: "Cost", number: true, sort: (one) => one.cost, cell: (one) => one.cost.toFixed(4) }], found.items, { empty: "Nothing was used in this time." })]).flat());
  }

  from.addEventListener("change", load);
  to.addEventListener("change", load);
  main.append(h("h1", null, "Usage"), h("div", { class: "row" }, h("label", null, "From", from), h("label", null, "To", to)), shown);
  await load();
}
