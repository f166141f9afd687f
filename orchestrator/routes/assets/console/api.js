// The API, with what the reader of the page has signed in with. It is kept for as long as the tab is open.

const KEPT = "nooble-orch";

export const account = load();

function load() {
  try { return JSON.parse(sessionStorage.getItem(KEPT)) ?? {}; } catch { return {}; }
}

/** Keep what was signed in with: `token`, `key`, `tenant`. */
export function signIn(values) {
  for (const name of Object.keys(account)) delete account[name];
  Object.assign(account, values);
  sessionStorage.setItem(KEPT, JSON.stringify(account));
}

/** Forget it. */
export function signOut() {
  signIn({});
  sessionStorage.removeItem(KEPT);
}

/** Return the claims of a token, unchecked: the service checks them. */
export function claims(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch { return {}; }
}

/** A refusal or failure, in the words of the service. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error?.message ?? `The service answered ${status}.`);
    this.status = status;
    this.code = error?.code ?? null;
    this.correlationId = error?.correlation_id ?? null;
  }

  toString() {
    return [this.message, this.code && `(${this.code}${this.correlationId ? `, correlation ${this.correlationId}` : ""})`].filter(Boolean).join(" ");
  }
}

/** Tell whether the token is one of a tenant; where it is not, the API key asks in the tenant's name. */
export function tokenCovers(tenant = account.tenant) {
  const said = account.token ? claims(account.token) : {};
  return Boolean(account.token) && (!tenant || said.tenant_id === tenant || Boolean(said.tenants?.includes(tenant)));
}

/** Work with another tenant from now on. */
export function chooseTenant(tenant) {
  signIn({ ...account, tenant });
}

/**
 * Call a route and return its envelope.
 * route: `domain.action[/id]`; `internal` routes take the API key, all others the token where it covers the tenant.
 */
export async function call(method, route, { body, query, signal, internal = false, tenant } = {}) {
  const byKey = internal || (account.key && !tokenCovers(tenant));
  const url = new URL(`${byKey ? "/internal/v1/" : "/api/v1/"}${route}`, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  const headers = byKey ? { "X-API-Key": account.key } : { Authorization: `Bearer ${account.token}` };
  const chosen = tenant ?? account.tenant;
  if (chosen) headers["X-Tenant-ID"] = chosen;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  const envelope = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, envelope.error);
  return envelope;
}

/** Return the data of a public route. */
export const get = async (route, query, options) => (await call("GET", route, { query, ...options })).data;

/** Return the data of an internal route. */
export const admin = async (route, query, options) => (await call("GET", route, { query, internal: true, ...options })).data;

/** Return the items of a listing, page by page, up to `most`; `more` says whether there were others. */
export async function items(route, query, { most = 1000, ...options } = {}) {
  const found = [];
  let cursor = null, more = true;
  while (more && found.length < most) {
    const { data, meta } = await call("GET", route, { query: { ...query, limit: Math.min(200, most - found.length), cursor }, ...options });
    found.push(...data.items);
    cursor = meta?.pagination?.next_cursor;
    more = Boolean(meta?.pagination?.has_more && cursor);
  }
  return { items: found, more };
}

/** Open a socket with the token; the browser sends it as a subprotocol, so it stands in no address. */
export function socket(path, query = {}) {
  const url = new URL(path, location.origin);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(name, value);
  url.searchParams.set("close", "1");
  return new WebSocket(url, ["nooble.v1", `bearer.${account.token}`]);
}
