/** What the release said of an exam, and how far it may be relied on. */

import { saveDocument } from "./api.js";
import { el, say } from "./dom.js";
import { problemCard } from "./problem.js";
import { CODES, NOT_JUDGED, NOT_KNOWN, instant, probability, spacingWords, viewName } from "./words.js";

const KINDS = [
  ["report", "Report (TID 1500)"],
  ["cad", "CAD report (TID 4000)"],
  ["marks", "Marks (presentation state)"],
];

/**
 * Return the panel beside the images; `answer`, `unread` and `images` may each be null.
 * @param {{reason: import("./api.js").Problem, again: () => void}|null} unread why there is no answer
 */
export function examFacts(exam, answer, unread, images, onOutcome) {
  const against = answer?.abstention ?? [];
  return el(
    "aside",
    { class: "facts", "aria-label": "What the release says", tabindex: -1 },
    answer ? scored(answer) : noScoring(unread),
    codes("Do not rely on the score", against, "bad"),
    answer ? notKnown(answer) : null,
    codes("Quality", answer?.quality.filter((code) => !against.includes(code)), "warn"),
    answer ? breasts(answer) : null,
    images ? viewTable(images) : null,
    images?.missing?.length ? el("p", { class: "bad" }, `Scored, but its pixels are not kept: ${images.missing.length} image(s).`) : null,
    el("button", { type: "button", class: "main", onclick: onOutcome }, "Record an outcome ", el("kbd", {}, "o")),
    documents(exam),
    answer ? provenance(exam, answer) : null,
  );
}

/** Only EXAM_UNKNOWN says that there is none; everything else is no answer to that question. */
function noScoring({ reason, again }) {
  if (reason.code === "EXAM_UNKNOWN") return el("p", {}, "The log has no scoring of this exam.");
  return el(
    "div",
    {},
    problemCard(reason, { again, title: "The scoring of this exam could not be read" }),
    el("p", { class: "bad" }, "The exam's score is not shown here, nor whether anything speaks against it."),
  );
}

function scored(answer) {
  const recall = answer.decision === "recall";
  const line = answer.scale ? `${answer.scale} of 10` : "no scale";
  return el(
    "section",
    { class: "score" },
    el("h2", {}, "Score of the exam"),
    el("p", { class: "big" }, probability(answer.score)),
    el("p", {}, el("strong", { class: recall ? "badge bad" : "badge" }, answer.decision), ` from ${probability(answer.threshold)} on`),
    el("p", { class: "quiet" }, line),
    el("p", { class: "quiet" }, answer.intended_use),
  );
}

function codes(title, list, kind) {
  if (!list?.length) return null;
  const lines = list.flatMap((code) => [el("dt", {}, code), CODES[code] ? el("dd", {}, CODES[code]) : null]);
  return el("section", { class: `codes ${kind}` }, el("h2", {}, title), el("dl", {}, lines));
}

/** Empty codes are good news only where somebody looked: say what was not judged or is lost. */
function notKnown(answer) {
  const lost = (answer.abstention ?? null) === null ? NOT_KNOWN : null;
  const unjudged = answer.familiarity_judged === false ? NOT_JUDGED : null;
  const lines = [lost, unjudged].filter(Boolean).map((text) => el("p", {}, text));
  return lines.length ? el("section", { class: "unknown" }, el("h2", {}, "What is not known"), lines) : null;
}

function breasts(answer) {
  const rows = answer.breasts.map((one) => [one.laterality, probability(one.probability), one.scale ?? "–", one.recall ? "recall" : "no recall"]);
  return table("Breasts", ["side", "probability", "of 10", "decision"], rows);
}

function viewTable(images) {
  const rows = images.images.map((one) => [
    viewName(one),
    probability(one.probability),
    String(one.findings?.length ?? 0),
    one.quality?.length ? one.quality.map((code) => el("code", {}, code)) : "–",
  ]);
  const spacings = [...new Set(images.images.map(spacingWords))];
  return el("section", {}, table("Views", ["view", "prob.", "boxes", "quality"], rows), spacings.map((text) => el("p", { class: "quiet" }, text)));
}

/** Return a small table with a caption. */
export function table(title, heads, rows) {
  return el(
    "table",
    {},
    el("caption", {}, title),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell))))),
  );
}

function documents(exam) {
  const save = async (kind, label) => {
    try {
      await saveDocument(exam, kind);
      say(`${label} saved`);
    } catch (error) {
      say(`${label}: ${error.message}`);
    }
  };
  const buttons = KINDS.map(([kind, label]) => el("button", { type: "button", onclick: () => save(kind, label) }, label));
  return el("section", { class: "documents" }, el("h2", {}, "DICOM, to save"), buttons);
}

function provenance(exam, answer) {
  const point = answer.operating_point;
  const lines = [
    ["exam", exam],
    ["release", answer.release],
    ["data", answer.data_version],
    ["scanner", answer.scanner],
    ["site", answer.site],
    ["operating point", point && point.scanner],
    ["scored", instant(answer.scored_at)],
    ["scored how often", answer.times_scored],
    ["request", answer.request],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("section", { class: "provenance" }, el("h2", {}, "Where it comes from"), el("dl", {}, lines.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}
