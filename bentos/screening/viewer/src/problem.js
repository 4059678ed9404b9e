/** A refusal as a page part: what happened, what it is called, what to do. */

import { el } from "./dom.js";
import { openToken } from "./token.js";

const NEXT = {
  EXAM_UNKNOWN: "Look for it in the list of exams; it may have been scored under another id.",
  RESULT_UNKNOWN: "Send the exam again to see its images.",
  NOT_READY: "`mammo deploy RELEASE` puts a release into service.",
  OVERLOADED: "Many exams wait. Try again in a moment.",
  NOTHING_READABLE: "Each file below says what is wrong with it.",
  MIXED_EXAMS: "Send the files of one exam at a time.",
  TOO_LARGE: "Send the files of one exam at a time.",
};

/**
 * Return the card of a Problem.
 * @param {import("./api.js").Problem} problem
 * @param {{again?: () => void, title?: string}} ways what the reader may do, and what did not work
 */
export function problemCard(problem, { again, title = "This did not work" } = {}) {
  const next = NEXT[problem.code];
  return el(
    "section",
    { class: "card problem", role: "alert" },
    el("h2", {}, title),
    el("p", {}, problem.message),
    next ? el("p", {}, next) : null,
    problem.refused?.length ? el("ul", {}, problem.refused.map((one) => el("li", {}, `File ${one.position}: ${one.message} `, el("code", {}, one.code)))) : null,
    el("p", { class: "quiet" }, "Code ", el("code", {}, problem.code ?? "UNEXPECTED"), problem.status ? `, status ${problem.status}` : ""),
    el(
      "p",
      { class: "ways" },
      again ? el("button", { type: "button", onclick: again }, "Try again") : null,
      problem.wantsToken ? el("button", { type: "button", class: "main", onclick: openToken }, "Enter a token") : null,
      el("a", { class: "button", href: "#/" }, "All exams"),
    ),
  );
}
