/** Where the reader shows a token; it stays in this tab. */

import { hasToken, setToken } from "./api.js";
import { dialog, el, say } from "./dom.js";

/** Ask for a token, and load the page's content again with it. */
export function openToken() {
  if (document.getElementById("token")) return;
  const field = el("input", { id: "token-text", type: "password", autocomplete: "off", spellcheck: "false", required: !hasToken() });
  const forget = hasToken() ? el("button", { type: "button", onclick: () => use("") }, "Forget it") : null;
  const form = el(
    "form",
    { method: "dialog", onsubmit: () => use(field.value) },
    el("p", {}, "Where the service asks who calls, it wants a token. ", el("code", {}, "mammo token add NAME --role read"), "prints one. To send exams it needs the role predict, to record outcomes the role outcomes."),
    el("label", { for: "token-text" }, "Token"),
    field,
    el("p", { class: "quiet" }, "Kept in this tab until it is closed, and sent to this service only."),
    el("p", { class: "ways" }, el("button", { class: "main" }, "Use it"), forget),
  );
  const box = dialog("token", "Token", form);
  const use = (text) => {
    setToken(text);
    box.close();
    say(text ? "Token in use" : "Token forgotten");
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  };
  field.focus();
}
