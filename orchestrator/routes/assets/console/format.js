// How values are written.
import { h } from "./dom.js";

const KINDS = {
  good: ["completed", "active", "closed", "live", "ok", "ready", "ACTIVE"],
  warn: ["processing", "waiting", "retrying", "paused", "draining", "partial", "half_open", "degraded", "pending", "PROCESSING", "PAUSED", "SUSPENDED"],
  bad: ["failed", "open", "gone", "error", "cancelled", "damaged", "unavailable", "ERROR", "FAILED"],
};

/** Write a state as a tag; its word is always there, its colour only helps. */
export function tag(state) {
  const kind = Object.keys(KINDS).find((one) => KINDS[one].includes(state)) ?? "dim";
  return h("span", { class: `tag ${kind}` }, state);
}

/** Write a moment in the reader's time zone. */
export const moment = (text) => (text ? h("time", { datetime: text, title: text }, new Date(text).toLocaleString()) : null);

const UNITS = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };

/** Read a moment: a duration before now (`15m`), or a day or timestamp, in UTC unless it says otherwise; null: it is none. */
export function momentOf(text) {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text) ?? [];
  if (unit) return new Date(Date.now() - count * UNITS[unit]).toISOString();
  if (!/^\d{4}-\d{2}-\d{2}([T ]|$)/.test(text)) return null;
  const read = new Date(/[T ].*(Z|[+-]\d{2}:?\d{2})$/i.test(text) || text.length === 10 ? text : `${text}Z`);
  return Number.isNaN(read.getTime()) ? null : read.toISOString();
}

/** Write milliseconds. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

/** Write how long ago a moment was. */
export const age = (text) => (text ? duration(Math.max(0, Date.now() - Date.parse(text))) : "–");

/** Write a number. */
export const number = (value) => (value ?? 0).toLocaleString();

/** Write a count with its noun: `1 task`, `3 tasks`. */
export const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Write a part of a whole. */
export const share = (part, whole) => (whole ? `${Math.round((part / whole) * 100)}%` : "–");

/** Write any value as indented JSON. */
export const json = (value) => h("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));

/** Write Markdown as far as agents use it: paragraphs, lists, headings, code, bold; everything else stays text. */
export function markdown(text) {
  const parts = [];
  for (const [place, block] of text.split(/```[a-z]*\n?/).entries()) {
    if (place % 2) { parts.push(h("pre", null, block.trimEnd())); continue; }
    for (const paragraph of block.split(/\n{2,}/)) {
      const lines = paragraph.split("\n").filter((line) => line.trim());
      if (!lines.length) continue;
      if (lines.every((line) => /^\s*([-*]|\d+\.)\s/.test(line))) parts.push(h("ul", null, lines.map((line) => h("li", null, inline(line.replace(/^\s*([-*]|\d+\.)\s/, ""))))));
      else if (/^#{1,4}\s/.test(lines[0])) parts.push(h("p", null, h("strong", null, inline(lines[0].replace(/^#+\s/, "")))), ...(lines.length > 1 ? [h("p", null, inline(lines.slice(1).join("\n")))] : []));
      else parts.push(h("p", null, inline(lines.join("\n"))));
    }
  }
  return parts;
}

const inline = (text) => text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) =>
  piece.startsWith("`") ? h("code", null, piece.slice(1, -1)) : piece.startsWith("**") ? h("strong", null, piece.slice(2, -2)) : piece);
