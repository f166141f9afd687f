// Plots, drawn as SVG.
import { svg, h } from "./dom.js";
import { number } from "./format.js";

/** Draw a line of the last values. */
export function spark(values, label) {
  const most = Math.max(1, ...values);
  const points = values.map((value, place) => `${(place / Math.max(1, values.length - 1)) * 100},${28 - (value / most) * 26}`).join(" ");
  return svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: last ${number(Math.round(values.at(-1) ?? 0))}, highest ${number(Math.round(most))}` },
    svg("polyline", { class: "spark", points }));
}

/** Draw stacked bars: [{label, parts: [first, second]}], `names` of the parts. */
export function bars(title, items, names) {
  // A narrow screen gets a narrow drawing, not one that is scaled down with its words.
  const width = innerWidth < 600 ? 340 : 720, height = 220, left = 56, foot = 24;
  const most = Math.max(1, ...items.map((item) => item.parts.reduce((sum, part) => sum + part, 0)));
  const step = (width - left) / Math.max(1, items.length), each = Math.max(1, step * 0.7);
  const high = (value) => (value / most) * (height - foot - 10);
  const drawn = items.map((item, place) => {
    let base = height - foot;
    const x = left + place * step + (step - each) / 2;
    return svg("g", null, item.parts.map((part, which) => {
      base -= high(part);
      return svg("rect", { class: `bar${which + 1}`, x, y: base, width: each, height: Math.max(0, high(part)) },
        svg("title", null, `${item.label}, ${names[which]}: ${number(part)}`));
    }), (place % Math.ceil((items.length * 44) / (width - left)) === 0) && svg("text", { x: x + each / 2, y: height - 7, "text-anchor": "middle" }, item.label));
  });
  // Between 0 and 1 there is no figure to write.
  const lines = (most < 2 ? [0, 1] : [0, 0.5, 1]).map((part) => svg("g", null,
    svg("line", { class: "axis", x1: left, x2: width, y1: height - foot - high(most * part), y2: height - foot - high(most * part) }),
    svg("text", { x: left - 6, y: height - foot - high(most * part) + 4, "text-anchor": "end" }, short(most * part))));
  return h("figure", { class: "card" },
    h("figcaption", null, title, names.map((name, which) => [svg("svg", { class: "swatch", viewBox: "0 0 8 8", "aria-hidden": "true" }, svg("rect", { class: `bar${which + 1}`, width: 8, height: 8 })), h("span", { class: "dim" }, ` ${name}`)])),
    svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${items.map((item) => `${item.label} ${number(item.parts.reduce((sum, part) => sum + part, 0))}`).join(", ") || "nothing"}` }, lines, drawn));
}

const short = (value) => (value >= 1e6 ? `${(value / 1e6).toFixed(1)}M` : value >= 1e3 ? `${(value / 1e3).toFixed(1)}k` : String(Math.round(value)));
