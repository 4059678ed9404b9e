/** The list of exams, and where a new one is sent from. */

import { listExams } from "./api.js";
import { el, show } from "./dom.js";
import { problemCard } from "./problem.js";
import { uploadCard } from "./upload.js";
import { STATES, instant, probability } from "./words.js";

const HEADS = ["Exam", "State", "Received", "Score", "of 10", "Decision", "Codes", "Outcome", "Scanner"];
const MOVING = ["receiving", "waiting", "scoring"];
const LOOK_AGAIN_MS = 15_000;
const LOST = "what speaks against it: not known any more";

/** The first page; looks again by itself while something is on its way. */
export class Worklist {
  constructor() {
    this.lines = [];
    this.next = null;
    this.search = el("input", { id: "search", type: "search", autocomplete: "off", oninput: () => this.soon() });
    const options = [["", "all states"], ...Object.entries(STATES)].map(([value, label]) => el("option", { value }, label));
    this.state = el("select", { id: "state", onchange: () => this.load() }, options);
    this.body = el("div", { class: "lines" });
  }

  async open() {
    const filters = el(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      el("label", { for: "search" }, "Search exam, site, scanner or release"), this.search,
      el("label", { for: "state" }, "State"), this.state,
      el("button", { type: "button", onclick: () => this.load() }, "Look again"),
    );
    show("Exams", el("h1", {}, "Exams"), el("div", { class: "home" }, uploadCard(), el("section", { class: "list", "aria-label": "Past exams" }, filters, this.body)));
    await this.load();
  }

  soon() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.load(), 250);
  }

  /** Read the first page anew. */
  async load() {
    this.stop();
    this.asking = new AbortController();
    this.body.setAttribute("aria-busy", "true");
    try {
      this.took(await listExams(this.asked(), this.asking.signal), []);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.body.replaceChildren(problemCard(error, { again: () => this.load() }));
    }
    this.body.removeAttribute("aria-busy");
  }

  asked() {
    return { search: this.search.value.trim(), state: this.state.value };
  }

  async more() {
    try {
      this.took(await listExams({ ...this.asked(), before: this.next }, this.asking.signal), this.lines);
    } catch (error) {
      if (error.name !== "AbortError") this.body.append(problemCard(error, { again: () => this.more() }));
    }
  }

  took({ exams, next }, before) {
    this.lines = [...before, ...exams];
    this.next = next;
    this.body.replaceChildren(this.lines.length ? this.table() : this.nothing());
    if (this.next) this.body.append(el("button", { type: "button", onclick: () => this.more() }, "Older exams"));
    const moving = this.lines.some((one) => MOVING.includes(one.state));
    if (moving && before.length === 0) this.timer = setTimeout(() => this.load(), LOOK_AGAIN_MS);
  }

  nothing() {
    if (this.search.value || this.state.value) {
      return el("p", { class: "card" }, "No exam fits. Take away the search or the state.");
    }
    return el(
      "section",
      { class: "card welcome" },
      el("h2", {}, "No exam yet"),
      el("p", {}, "This page shows screening mammograms and what a model says of them."),
      el(
        "ol",
        {},
        el("li", {}, "Send the DICOM files of one exam: drop them on the left, or let a PACS send them."),
        el("li", {}, "Look at the four views first. Heat map and boxes are hidden until you press h and b."),
        el("li", {}, "Record what became of the exam when it is known: the monitoring needs it."),
      ),
      el("p", {}, "No mammograms at hand? ", el("code", {}, "mammo demo"), "scores drawn ones and two real exams. Press ? for all keys."),
    );
  }

  table() {
    return el(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table of exams" },
      el(
        "table",
        { class: "worklist" },
        el("caption", { class: "unseen" }, "Past exams, the newest first"),
        el("thead", {}, el("tr", {}, HEADS.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, this.lines.map(line)),
      ),
    );
  }

  stop() {
    clearTimeout(this.timer);
    clearTimeout(this.typing);
    this.asking?.abort();
  }

  close() {
    this.stop();
  }
}

function line(one) {
  const name = one.exam ?? one.study ?? "without an id";
  const target = one.exam ? el("a", { href: `#/exam/${encodeURIComponent(one.exam)}` }, name) : name;
  const state = [
    el("span", { class: `badge ${one.state}` }, STATES[one.state] ?? one.state),
    one.incident ? el("span", { class: "badge bad" }, "incident") : null,
  ];
  const codes = [one.code, ...(one.abstention ?? []), ...(one.quality ?? [])].filter(Boolean);
  const lost = one.exam && (one.abstention ?? null) === null;
  return el(
    "tr",
    { "data-state": one.state },
    el("th", { scope: "row" }, target),
    el("td", {}, state, one.text ? el("div", { class: "quiet" }, one.text) : null),
    el("td", {}, instant(one.received_at ?? one.scored_at)),
    el("td", { class: "number" }, probability(one.score)),
    el("td", { class: "number" }, one.scale ?? "–"),
    el("td", {}, one.decision ?? "–"),
    el("td", {}, [...new Set(codes)].map((code) => el("code", {}, code)), codes.length || lost ? null : "–", lost ? el("div", { class: "quiet" }, LOST) : null),
    el("td", {}, one.outcome ? `${one.outcome.label}, ${one.outcome.source}` : "–"),
    el("td", {}, one.scanner ?? "–", one.has_images ? null : el("div", { class: "quiet" }, "no images kept")),
  );
}
