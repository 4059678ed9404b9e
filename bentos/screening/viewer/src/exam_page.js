/** The page of one exam: images, toolbar, facts, outcome. */

import { readExam, readImages } from "./api.js";
import { el, say, show } from "./dom.js";
import { examFacts } from "./facts.js";
import { KEYS, meaningOf } from "./keys.js";
import { openOutcome } from "./outcome_form.js";
import { problemCard } from "./problem.js";
import { Stage } from "./stage.js";

/** Shows an exam; `close` when the reader goes elsewhere. */
export class ExamPage {
  constructor(exam) {
    this.exam = exam;
    this.stage = new Stage((told) => this.toolbarTold(told));
    this.keyed = (event) => this.key(event);
  }

  /** Read and show; what cannot be shown says why. */
  async open() {
    show(`Exam ${this.exam}`, el("p", { class: "card" }, "Loading…"));
    const [told, images] = await Promise.allSettled([readExam(this.exam), readImages(this.exam)]);
    if (this.closed) return;
    if (told.status === "rejected" && images.status === "rejected") {
      show("Exam", problemCard(told.reason, { again: () => this.open() }));
      return;
    }
    this.images = images.value ?? null;
    this.facts = this.panel(told);
    this.build(images.status === "rejected" ? images.reason : null);
    document.addEventListener("keydown", this.keyed);
    if (this.images) await this.stage.open(this.images.images, this.images.prior ? "current" : "");
    if (!this.closed) this.ready();
  }

  build(noImages) {
    this.toolbar = el("div", { class: "toolbar", role: "toolbar", "aria-label": "Tools" }, this.buttons());
    const middle = noImages ? el("div", { class: "stage none" }, problemCard(noImages, { again: () => location.reload() })) : this.stage.element;
    this.page = el("div", { class: "exam" }, this.toolbar, middle, this.facts);
    show(`Exam ${this.exam}`, el("h1", { class: "unseen" }, `Exam ${this.exam}`), this.page);
  }

  /** Return the facts of a scoring that was read, or why it was not. */
  panel({ value = null, reason = null }) {
    const unread = reason && { reason, again: () => this.readAgain() };
    return examFacts(this.exam, value, unread, this.images, () => this.openOutcome());
  }

  /** Read the scoring once more; the images, and what was set at them, stay. */
  async readAgain() {
    this.facts.setAttribute("aria-busy", "true");
    const [told] = await Promise.allSettled([readExam(this.exam)]);
    if (this.closed) return;
    const before = this.facts;
    const focused = before.contains(document.activeElement);
    this.facts = this.panel(told);
    before.replaceWith(this.facts);
    if (focused) (this.facts.querySelector(".problem button") ?? this.facts).focus(); // what had it is gone
  }

  ready() {
    this.page.dataset.ready = "yes";
    this.stage.picked?.element.focus({ preventScroll: true });
  }

  buttons() {
    const shown = KEYS.filter((one) => one.button && (one.needs !== "prior" || this.images?.prior));
    return shown.map((one) => {
      const facts = {
        type: "button",
        title: one.says,
        "aria-keyshortcuts": one.keys[0],
        "data-does": one.tool ?? one.pressed ?? one.button,
        onclick: () => one.does(this),
      };
      if (one.tool || one.pressed) facts["aria-pressed"] = String(one.tool === this.stage.tool);
      return el("button", facts, one.button, " ", el("kbd", {}, one.keys[0]));
    });
  }

  toolbarTold(told) {
    for (const one of KEYS.filter((key) => key.tool || key.pressed)) {
      const button = this.toolbar?.querySelector(`[data-does="${one.tool ?? one.pressed}"]`);
      button?.setAttribute("aria-pressed", String(one.tool ? told.tool === one.tool : told[one.pressed]));
    }
    if (this.page) this.page.dataset.by = told.by;
  }

  key(event) {
    const meant = meaningOf(event);
    if (!meant) return;
    event.preventDefault();
    meant.does(this, meant.key);
  }

  toggleFacts() {
    this.page.classList.toggle("wide");
    say(this.page.classList.contains("wide") ? "Facts hidden" : "Facts shown");
  }

  async togglePrior() {
    const prior = this.images?.prior;
    if (!prior) {
      say("There is no exam before this one with images");
      return;
    }
    try {
      this.priorImages ??= (await readImages(prior.exam)).images;
      await this.stage.togglePrior(this.priorImages, `prior ${prior.acquired_on ?? ""}`.trim());
      say(this.stage.prior.length ? "Prior exam shown below" : "Prior exam hidden");
    } catch (error) {
      say(`The prior exam cannot be shown: ${error.message}`);
    }
  }

  openOutcome() {
    openOutcome(this.exam);
  }

  close() {
    this.closed = true;
    document.removeEventListener("keydown", this.keyed);
    this.stage.close();
  }
}
