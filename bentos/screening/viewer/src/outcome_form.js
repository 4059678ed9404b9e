/** Recording what became of an exam: a biopsy weeks later, an interval cancer years later. */

import { recordOutcome } from "./api.js";
import { dialog, el, say } from "./dom.js";

const SOURCES = ["pathology", "follow-up imaging", "interval cancer registry", "consensus of two readers"];

/** Open the form for an exam. */
export function openOutcome(exam) {
  if (document.getElementById("outcome")) return;
  const answer = el("p", { class: "answer", role: "status" });
  const form = el(
    "form",
    { class: "outcome" },
    choice("result", "What was found", [["yes", "Cancer"], ["no", "No cancer"]]),
    choice("laterality", "Where", [["", "The exam as a whole"], ["R", "Right breast"], ["L", "Left breast"]], ""),
    el("label", { for: "known-at" }, "Known since"),
    el("input", { id: "known-at", type: "datetime-local", required: true, value: localNow() }),
    el("label", { for: "source" }, "Known from"),
    el("input", { id: "source", type: "text", required: true, maxlength: 200, list: "sources", autocomplete: "off" }),
    el("datalist", { id: "sources" }, SOURCES.map((one) => el("option", { value: one }))),
    el("p", { class: "quiet" }, "It is added to the log, never changed there: a later outcome stands beside an earlier one. Name no person."),
    el("p", { class: "ways" }, el("button", { class: "main" }, "Record")),
    answer,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, exam, answer);
  });
  dialog("outcome", `Outcome of ${exam}`, form);
  form.querySelector("input").focus();
}

function choice(name, legend, options, picked) {
  const lines = options.map(([value, label]) =>
    el("label", { class: "choice" }, el("input", { type: "radio", name, value, required: true, checked: value === picked }), ` ${label}`),
  );
  return el("fieldset", {}, el("legend", {}, legend), lines);
}

function localNow() {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

async function send(form, exam, answer) {
  const told = new FormData(form);
  const button = form.querySelector("button");
  button.disabled = true;
  answer.className = "answer";
  answer.textContent = "Recording…";
  try {
    const done = await recordOutcome({
      exam,
      cancer: told.get("result") === "yes",
      laterality: told.get("laterality") || null,
      known_at: new Date(form.querySelector("#known-at").value).toISOString(),
      source: form.querySelector("#source").value.trim(),
    });
    answer.textContent = done.new ? "Recorded." : "This was already recorded; nothing changed.";
    say(answer.textContent);
  } catch (error) {
    answer.classList.add("bad");
    answer.textContent = `${error.message} (${error.code ?? "UNEXPECTED"})`;
  } finally {
    button.disabled = false;
    button.focus(); // a button that is switched off loses it
  }
}
