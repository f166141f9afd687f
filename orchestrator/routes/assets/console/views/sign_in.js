// Signing in: with a token, an API key, or both.
import { admin, claims, get, signIn, signOut } from "../api.js";
import { h } from "../dom.js";

export async function signInPage(main, { done }) {
  const token = h("textarea", { id: "token", rows: 3, autocomplete: "off", spellcheck: "false", "aria-describedby": "token-says" });
  const key = h("input", { id: "key", type: "password", autocomplete: "off", "aria-describedby": "key-says" });
  const tenant = h("input", { id: "tenant", autocomplete: "off", pattern: "[A-Za-z0-9_.\\-]{1,64}" });
  const fault = h("p", { class: "bad", role: "alert" });
  const button = h("button", { class: "main" }, "Sign in");

  async function submit(event) {
    event.preventDefault();
    fault.textContent = "";
    const said = claims(token.value.trim());
    const values = { token: token.value.trim() || undefined, key: key.value.trim() || undefined,
      tenant: tenant.value.trim() || said.tenant_id || said.tenants?.[0] || undefined };
    if (!values.token && !values.key) { fault.textContent = "Give a token or an API key."; return; }
    button.disabled = true;
    signIn(values);
    try {
      if (values.token) await get("agent.list", { limit: 1 });
      if (values.key) await admin("orchestrator.load", { top: 0 });
      done();
    } catch (error) {
      signOut();
      fault.textContent = String(error);
    } finally { button.disabled = false; }
  }

  main.append(
    h("h1", null, "Sign in"),
    h("form", { class: "card", onsubmit: submit },
      h("div", { class: "columns" },
        h("div", null, h("label", { for: "token" }, "Token"), token,
          h("p", { class: "dim", id: "token-says" }, "For tasks, sessions, usage and chat. ", h("code", null, "nooble-orch token create --tenant acme --user me --role operator"), " prints one in development.")),
        h("div", null, h("label", { for: "key" }, "API key"), h("p", null, key),
          h("p", { class: "dim", id: "key-says" }, "With the scope admin, for the overview, all tenants and their dead letters; and for the tasks, sessions and usage of the tenant below. ", h("code", null, "nooble-orch dev"), " keeps one in its dev.json."),
          h("label", { for: "tenant" }, "Tenant"), h("p", null, tenant), h("p", { class: "dim" }, "Needed where the token carries several, or where there is a key alone."))),
      fault, button,
      h("p", { class: "dim" }, "Both are kept in this tab alone, and forgotten when it is closed.")));
}
