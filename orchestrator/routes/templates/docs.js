"use strict";
const search = document.getElementById("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const tag of document.querySelectorAll(".tag")) {
    let shown = 0;
    for (const route of tag.querySelectorAll(".route")) {
      route.hidden = !words.every((word) => route.dataset.words.includes(word));
      shown += route.hidden ? 0 : 1;
    }
    tag.hidden = shown === 0;
  }
});
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", open);
open();
for (const code of document.querySelectorAll("pre code")) code.textContent = code.textContent.replaceAll("$API", location.origin);

const KEPT = "nooble-orch-docs";
const credentials = ["token", "key", "tenant"].map((name) => document.getElementById(name));
const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
for (const input of credentials) {
  input.value = kept[input.id] ?? "";
  input.addEventListener("input", () => {
    kept[input.id] = input.value.trim();
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  });
}

const MOST = 200_000, PATIENCE = 60_000;

function ask(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(input.name, input.value);
  }
  const headers = {}, schemes = form.dataset.schemes.split(" ");
  if (schemes.includes("bearer") && kept.token) headers.Authorization = `Bearer ${kept.token}`;
  if (schemes.includes("apiKey") && kept.key) headers["X-API-Key"] = kept.key;
  if (kept.tenant) headers["X-Tenant-ID"] = kept.tenant;
  const body = form.elements.body?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = AbortSignal.timeout(PATIENCE);
  return fetch(`${path}${query.size ? `?${query}` : ""}`, { method: form.dataset.method, headers, body, signal });
}

async function show(answer, shown) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  // A stream of events is shown as it comes; what is longer than the page can bear is cut.
  for (let part = await reader.read(); !part.done && text.length < MOST; part = await reader.read()) {
    text += part.value;
    shown.textContent = text;
  }
  reader.cancel();
  try { shown.textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { shown.textContent = text.slice(0, MOST); }
}

for (const form of document.querySelectorAll(".try form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button"), output = form.querySelector("output");
    const status = document.createElement("p"), shown = document.createElement("pre");
    shown.tabIndex = 0;
    output.replaceChildren(status, shown);
    button.disabled = true;
    try {
      const answer = await ask(form);
      status.textContent = `${answer.status} ${answer.headers.get("Content-Type") ?? ""}`;
      if (answer.body) await show(answer, shown);
    } catch (error) {
      status.textContent = `No answer: ${error.message}`;
    } finally { button.disabled = false; }
  });
}
