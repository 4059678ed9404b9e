/** One place of the hanging: an image, its captions and what lies over it. */

import { Enums } from "@cornerstonejs/core";
import { el, svg } from "./dom.js";
import { drawByLut, drawFinely, drawnBy, startEngine, useTools } from "./engine.js";
import { mustMirror, wallInImage, wallOnScreen } from "./hanging.js";
import { boxesOf, loadHeat, onTile, placeHeat } from "./overlay.js";
import { numbersAt, register } from "./pixels.js";
import { lutPoints, nudged, rangeOf, windowOf, windowsOf } from "./windows.js";
import { probability, spacingWords, viewName } from "./words.js";

const { Events, ViewportType } = Enums;
let made = 0;

/** A tile of the stage; `image` null is a view that the exam does not have. */
export class Tile {
  /** @param {object|null} image  @param {string} name  @param {string} when "" or which exam it is of */
  constructor(image, name, when = "") {
    this.image = image;
    this.name = image ? viewName(image) : name;
    this.id = `tile-${(made += 1)}`;
    this.picture = el("div", { class: "picture" });
    this.over = el("div", { class: "over" });
    this.boxes = svg("svg", { class: "boxes", "aria-hidden": "true" });
    this.corner = el("p", { class: `caption top ${wallOnScreen(this.name[0]) === "right" ? "left" : "right"}` });
    this.foot = el("p", { class: "caption foot" });
    this.corner.append(el("strong", {}, this.name), when ? el("span", {}, when) : "");
    this.over.append(this.boxes);
    const label = image ? this.describe(when) : `${this.name}: not among the images`;
    this.element = el(
      "div",
      { class: "tile", tabindex: 0, role: "group", "aria-label": label, "data-view": this.name },
      this.picture, this.over, this.corner, this.foot,
    );
    if (!image) this.tell("This view is not among the images.");
  }

  describe(when) {
    const { rows, columns, probability: score, quality = [] } = this.image;
    const more = quality.length ? `, ${quality.join(", ")}` : "";
    return `${this.name}${when ? `, ${when}` : ""}: ${columns} by ${rows} pixels, probability ${probability(score)}${more}`;
  }

  /** Write across the tile instead of an image. */
  tell(text) {
    this.element.classList.add("empty");
    this.picture.replaceChildren(el("p", {}, text));
  }

  /** Load and show the image; what goes wrong is written where it would be. */
  async open() {
    if (!this.image) return;
    this.tell("Loading…");
    const engine = startEngine();
    const imageId = register(this.image);
    try {
      this.picture.replaceChildren();
      this.element.classList.remove("empty"); // it has a margin, and the canvas takes the size it finds
      engine.enableElement({ viewportId: this.id, type: ViewportType.STACK, element: this.picture });
      useTools(this.id);
      this.viewport = engine.getViewport(this.id);
      this.picture.addEventListener(Events.IMAGE_RENDERED, () => this.follow());
      await this.viewport.setStack([imageId]);
      drawFinely(this.viewport);
      await this.loadLut();
      this.pickWindow(0);
      this.mirrored = mustMirror(this.image.laterality, this.findWall());
      this.element.dataset.ready = "yes";
    } catch (error) {
      this.close();
      this.tell(`${this.name} cannot be shown. ${error.message ?? error.error?.message ?? ""}`);
      this.element.dataset.ready = "failed";
    }
  }

  /** True while the tile shows its image. */
  get ready() {
    return this.viewport !== undefined && this.viewport !== null && this.element.dataset.ready === "yes";
  }

  findWall() {
    this.wall = wallInImage(this.viewport.getCornerstoneImage().getPixelData(), this.image);
    return this.wall;
  }

  /** Take the viewport down. */
  close() {
    if (this.viewport) startEngine().disableElement(this.id);
    this.viewport = null;
  }

  /** Show the whole image, not mirrored unless the chest wall asks for it; returns its scale. */
  fit() {
    this.viewport.resetCamera();
    if (Boolean(this.viewport.getCamera().flipHorizontal) !== this.mirrored) {
      this.viewport.setCamera({ flipHorizontal: this.mirrored });
    }
    return this.viewport.getCamera().parallelScale;
  }

  /** Show at a scale (half the tile's height, in mm or pixels) with the chest wall at its side. */
  place(scale) {
    this.viewport.setCamera({ parallelScale: scale });
    const side = wallOnScreen(this.image.laterality);
    if (side) {
      const edges = [0, this.image.columns].map((x) => onTile(this.viewport, this.image, x, 0)[0]).sort((a, b) => a - b);
      this.move(side === "right" ? this.picture.clientWidth - edges[1] : -edges[0], 0);
    }
    this.viewport.render();
  }

  /** Show one pixel of the image as one of the screen, and exactly over it: nothing is blended. */
  oneToOne() {
    const [row] = this.image.spacing_mm ?? [1, 1];
    const fine = window.devicePixelRatio;
    this.viewport.setCamera({ parallelScale: (this.picture.clientHeight * row) / fine / 2 });
    const [left, top] = onTile(this.viewport, this.image, 0, 0);
    const off = [left, top].map((place) => (Math.round(place * fine) - place * fine) / fine);
    this.panBy(...off);
  }

  async loadLut() {
    const { lut } = this.image;
    if (lut) this.points = lutPoints(await numbersAt(lut.values, lut.entries), lut, this.image);
  }

  /** Apply the window (or VOI LUT) of the header at this place, counted round; returns its name. */
  pickWindow(place) {
    const all = windowsOf(this.image);
    const window = all[((place % all.length) + all.length) % all.length];
    // on the processor the library takes the function from the image and refuses another one
    const kind = drawnBy() === "WebGL" ? { VOILUTFunction: window.lut ? "LINEAR" : window.function } : {};
    this.viewport.setProperties({ voiRange: rangeOf(window, this.image), ...kind });
    if (window.lut) drawByLut(this.viewport, this.points);
    this.shownBy = window;
    this.viewport.render();
    return window.explanation || window.function;
  }

  reset() {
    this.viewport.setProperties({ invert: Boolean(this.image.monochrome1) });
    this.pickWindow(0);
  }

  invert() {
    this.viewport.setProperties({ invert: !this.viewport.getProperties().invert });
    this.viewport.render();
  }

  nudgeWindow(center, width) {
    this.viewport.setProperties({ voiRange: nudged(this.viewport.getProperties().voiRange, center, width) });
    this.viewport.render();
  }

  zoomBy(factor) {
    this.viewport.setZoom(this.viewport.getZoom() * factor);
    this.viewport.render();
  }

  panBy(x, y) {
    this.move(x, y);
    this.viewport.render();
  }

  /** Move the image on the screen; the library's own pan passes over less than a pixel. */
  move(x, y) {
    const [from, to] = [[0, 0], [x, y]].map((place) => this.viewport.canvasToWorld(place));
    const moved = (point) => point.map((value, axis) => value - (to[axis] - from[axis]));
    const { focalPoint, position } = this.viewport.getCamera();
    this.viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
  }

  /** Show or hide what lies over the image; heat is fetched when it is first wanted. */
  async cover({ heat, boxes }) {
    this.covered = { heat, boxes };
    if (heat && this.heat === undefined && this.viewport) {
      this.heat = await loadHeat(this.image);
      if (this.heat) this.over.prepend(this.heat);
    }
    this.follow();
  }

  /** Bring captions and overlays to where the image is. */
  follow() {
    if (!this.ready) return;
    const { heat = false, boxes = false } = this.covered ?? {};
    if (this.heat) {
      this.heat.hidden = !heat;
      placeHeat(this.heat, this.viewport, this.image);
    }
    this.boxes.replaceChildren(...(boxes ? boxesOf(this.viewport, this.image) : []));
    this.element.dataset.corner = onTile(this.viewport, this.image, 0, 0).map((one) => one.toFixed(2)).join(" ");
    const { voiRange, invert, VOILUTFunction } = this.viewport.getProperties();
    const { center, width } = windowOf(voiRange, VOILUTFunction, this.image);
    const curved = ["LUT", "SIGMOID"].includes(this.shownBy?.function);
    // the library's drawing on the processor knows straight windows only: better told than hidden
    const by = curved ? (drawnBy() === "WebGL" ? `${this.shownBy.function} ` : "straight, not the header's curve: ") : "";
    const turned = Boolean(invert) !== Boolean(this.image.monochrome1) ? " inverted" : "";
    const mirrored = this.mirrored ? " · mirrored" : "";
    const calibrated = this.image.spacing_mm ? "" : ` · ${spacingWords(this.image).split(":")[0]}`;
    this.foot.textContent = `${by}W ${width.toFixed(0)} L ${center.toFixed(0)}${turned}${mirrored}${calibrated}`;
  }
}
