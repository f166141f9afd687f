// The frame: what may be seen with what was signed in with, and which page is shown.
import { account, claims, signOut, tokenCovers } from "./api.js";
import { h, tell } from "./dom.js";
import { chat } from "./views/chat.js";
import { deadLetters } from "./views/dead_letters.js";
import { overview } from "./views/overview.js";
import { session, sessions } from "./views/sessions.js";
import { signInPage } from "./views/sign_in.js";
import { task, tasks } from "./views/tasks.js";
import { tenant, tenants } from "./views/tenants.js";
import { usage } from "./views/usage.js";

const byKey = () => Boolean(account.key), byToken = () => tokenCovers();
const byEither = () => byToken() || Boolean(account.key && account.tenant);

const PAGES = [
  { path: "overview", title: "Overview", needs: byKey, show: overview },
  { path: "tenants", title: "Tenants", needs: byKey, show: tenants, one: tenant },
  { path: "dead-letters", title: "Dead letters", needs: byKey, show: deadLetters, one: deadLetters },
  { path: "tasks", title: "Tasks", needs: byEither, show: tasks, one: task },
  { path: "sessions", title: "Sessions", needs: byEither, show: sessions, one: session },
  { path: "usage", title: "Usage", needs: byEither, show: usage },
  { path: "chat", title: "Chat", needs: byToken, show: chat },
];

const content = document.getElementById("content");
let leaving = new AbortController();

function place() {
  const [path, query] = location.hash.replace(/^#\//, "").split("?");
  const [name, id] = path.split("/");
  return { name, id: id && decodeURIComponent(id), query: new URLSearchParams(query) };
}

function showBar(current) {
  const seen = PAGES.filter((page) => page.needs());
  document.getElementById("nav").replaceChildren(...seen.map((page) =>
    h("a", { href: `#/${page.path}`, "aria-current": page === current ? "page" : null }, page.title)));
  const said = account.token ? claims(account.token) : {};
  const who = [said.sub && `${said.sub} (${said.role ?? "user"})`, account.tenant].filter(Boolean).join(" · ");
  document.getElementById("account").replaceChildren(...(account.token || account.key
    ? [h("span", null, who || "API key"), h("button", { onclick: leave }, "Sign out")] : []));
}

function leave() {
  signOut();
  location.hash = "";
  show();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving, { name, id, query } = place();
  const open = PAGES.filter((page) => page.needs());
  const page = open.find((one) => one.path === name);
  showBar(page);
  if (!page && open.length) { location.replace(`#/${open[0].path}`); return; }
  const main = h("div");
  content.replaceChildren(main);
  document.title = `${page?.title ?? "Sign in"} — Agent Orchestrator`;
  try {
    if (!page) await signInPage(main, { signal, done: show });
    else await (id && page.one ? page.one : page.show)(main, { signal, id, query });
  } catch (error) {
    if (signal.aborted) return;
    main.append(h("p", { class: "card bad", role: "alert" }, String(error)));
    if (error.status === 401) tell("The service no longer accepts this token or key. Sign out, and in again.", { bad: true });
  }
}

addEventListener("hashchange", () => { show(); content.focus(); });
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  if (event.reason?.name !== "AbortError") tell(String(event.reason), { bad: true });
});
show();
