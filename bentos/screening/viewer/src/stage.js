/** The hanging: tiles in rows and columns, which of them is picked, and what is done to them. */

import { el, say } from "./dom.js";
import { drawnBy, pickTool, removeMeasures, startEngine } from "./engine.js";
import { ORDER, hang, layoutFor } from "./hanging.js";
import { forgetAll } from "./pixels.js";
import { Tile } from "./tile.js";
import { viewName } from "./words.js";

/** The images of an exam on the screen, and of the one before where it is asked for. */
export class Stage {
  /** @param {(what: object) => void} onChange told what the toolbar should show */
  constructor(onChange) {
    this.element = el("div", { class: "stage", role: "group", "aria-label": "Images" });
    this.onChange = onChange;
    this.covered = { heat: false, boxes: false };
    this.layout = "auto";
    this.tool = "window";
    this.alone = null;
    this.tiles = [];
    this.prior = [];
    this.windowPlace = 0;
    this.watcher = new ResizeObserver(() => this.resized());
    this.watcher.observe(this.element);
    this.element.addEventListener("focusin", (event) => this.pick(event.target));
    this.element.addEventListener("dblclick", () => this.toggleAlone());
  }

  /** Hang the images; returns when each is shown or says why it is not. */
  async open(images, when = "") {
    const { slots, others } = hang(images);
    const standard = slots.map((image, place) => new Tile(image, ORDER[place], when));
    this.tiles = [...standard, ...others.map((image) => new Tile(image, viewName(image), when))];
    this.others = others.length;
    await this.show(this.tiles);
  }

  /** Hang the exam before under this one, or take it away. */
  async togglePrior(images, when) {
    if (this.prior.length) {
      for (const tile of this.prior) tile.close();
      this.prior = [];
    } else {
      this.prior = hang(images).slots.map((image, place) => new Tile(image, ORDER[place], when));
      this.alone = null;
    }
    await this.show(this.prior);
  }

  async show(opened) {
    this.arrange();
    startEngine().resize(true, false);
    this.picked ??= this.tiles.find((one) => one.image);
    await Promise.all(opened.map((tile) => tile.open()));
    this.fit();
    await this.coverAll();
    this.told();
  }

  /** Every tile that is on the screen now. */
  get shown() {
    return this.alone ? [this.alone] : [...this.tiles, ...this.prior];
  }

  /** Those of them that show an image. */
  get live() {
    return this.shown.filter((one) => one.ready);
  }

  arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const size = this.alone ? { rows: 1, columns: 1 } : this.places(width, height || 1);
    this.element.dataset.layout = `${size.rows}x${size.columns}`;
    this.element.style.gridTemplateColumns = `repeat(${size.columns}, minmax(0, 1fr))`;
    this.element.style.gridTemplateRows = `repeat(${size.rows}, minmax(0, 1fr))`;
    const shown = this.shown;
    if (this.element.children.length !== shown.length || shown.some((one, at) => this.element.children[at] !== one.element)) {
      this.element.replaceChildren(...shown.map((one) => one.element));
    }
  }

  places(width, height) {
    if (this.prior.length) return { rows: 2, columns: Math.max(4, this.tiles.length) };
    const { rows, columns } = layoutFor(this.layout, width, height);
    return { rows, columns: columns + Math.ceil(this.others / rows) };
  }

  resized() {
    if (!this.tiles.length) return;
    this.arrange();
    startEngine().resize(true, false);
    this.fit();
  }

  /**
   * Fit all images at one scale, so that breasts can be compared: those that are calibrated in mm,
   * the others in pixels.
   */
  fit() {
    const fitted = this.live.map((tile) => ({ tile, scale: tile.fit() }));
    for (const calibrated of [true, false]) {
      const alike = fitted.filter(({ tile }) => Boolean(tile.image.spacing_mm) === calibrated);
      const largest = Math.max(...alike.map(({ scale }) => scale));
      for (const { tile } of alike) tile.place(largest);
    }
  }

  pick(target) {
    const tile = this.shown.find((one) => one.element.contains(target));
    if (tile?.image) this.picked = tile;
  }

  /** Show one tile alone, by its place from 1, or all of them again. */
  showAlone(place) {
    const tile = this.tiles[place - 1];
    if (!tile?.ready) return;
    this.alone = this.alone === tile ? null : tile;
    this.picked = tile;
    this.rearranged(this.alone ? `${tile.name} alone` : "All views");
  }

  toggleAlone() {
    if (!this.picked?.ready) return;
    this.alone = this.alone ? null : this.picked;
    this.rearranged(this.alone ? `${this.picked.name} alone` : "All views");
  }

  showAll() {
    if (!this.alone) return;
    this.alone = null;
    this.rearranged("All views");
  }

  cycleLayout() {
    const names = ["auto", "row", "square"];
    this.layout = names[(names.indexOf(this.layout) + 1) % names.length];
    this.rearranged(`Layout: ${this.layout}`);
  }

  rearranged(text) {
    this.arrange();
    startEngine().resize(true, false);
    this.fit();
    this.picked?.element.focus({ preventScroll: true });
    say(text);
    this.told();
  }

  /** Show or hide `heat` or `boxes`; both are hidden at first: the reader looks before the machine. */
  async toggle(what) {
    this.covered = { ...this.covered, [what]: !this.covered[what] };
    this.told();
    const failed = await this.coverAll();
    say(failed ? `${what} cannot be shown: ${failed.message}` : `${what} ${this.covered[what] ? "shown" : "hidden"}`);
  }

  /** Bring every tile's overlays to what is asked for; returns the first that went wrong. */
  async coverAll() {
    const done = await Promise.allSettled([...this.tiles, ...this.prior].map((one) => one.cover(this.covered)));
    return done.find((one) => one.status === "rejected")?.reason;
  }

  use(tool) {
    this.tool = tool;
    pickTool(tool);
    say(`Tool: ${tool}`);
    this.told();
  }

  nextWindow() {
    this.windowPlace += 1;
    const names = this.live.map((one) => one.pickWindow(this.windowPlace));
    if (names.length) say(`Window: ${names[0]}`);
  }

  invert() {
    for (const tile of this.live) tile.invert();
    say("Inverted");
  }

  reset() {
    this.windowPlace = 0;
    for (const tile of this.live) tile.reset();
    removeMeasures();
    this.fit();
    say("As at first");
  }

  oneToOne() {
    for (const tile of this.alone ? [this.alone] : this.live) tile.oneToOne();
    say("One pixel of the image is one of the screen");
  }

  /** Do something to the picked tile, when it shows an image. */
  withPicked(act) {
    const tile = this.alone ?? this.picked;
    if (tile?.ready) act(tile);
  }

  told() {
    const { heat, boxes } = this.covered;
    this.onChange({ heat, boxes, tool: this.tool, prior: this.prior.length > 0, alone: this.alone !== null, by: drawnBy() });
  }

  /** Take everything down. */
  close() {
    this.watcher.disconnect();
    for (const tile of [...this.tiles, ...this.prior]) tile.close();
    removeMeasures();
    forgetAll();
  }
}
