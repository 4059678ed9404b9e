/** Every key of the viewer, once: the help panel, the toolbar and the keyboard read the same table. */

import { el, dialog } from "./dom.js";
import { TOOLS } from "./engine.js";

/**
 * Keys while images are shown. `does` gets the exam's page; `button` is its label in the toolbar,
 * `pressed` names the fact of the stage that says whether it is on.
 */
export const KEYS = [
  ...TOOLS.map(({ name, key, label }) => ({
    keys: [key], group: "Left button", button: label, tool: name,
    says: toolWords(name), does: (page) => page.stage.use(name),
  })),
  { keys: ["h"], group: "From the release", button: "Heat", pressed: "heat", says: "Heat map on or off; it starts hidden", does: (page) => page.stage.toggle("heat") },
  { keys: ["b"], group: "From the release", button: "Boxes", pressed: "boxes", says: "Boxes of the findings on or off; they start hidden", does: (page) => page.stage.toggle("boxes") },
  { keys: ["i"], group: "Image", button: "Invert", says: "Black to white", does: (page) => page.stage.invert() },
  { keys: ["v"], group: "Image", button: "Next window", says: "The next window of the header", does: (page) => page.stage.nextWindow() },
  { keys: ["a"], group: "Image", button: "1:1", says: "One pixel of the image is one of the screen", does: (page) => page.stage.oneToOne() },
  { keys: ["r"], group: "Image", button: "Reset", says: "As at first: window, place, no measures", does: (page) => page.stage.reset() },
  { keys: ["1", "2", "3", "4"], group: "Hanging", says: "R CC, L CC, R MLO, L MLO alone, and back", does: (page, key) => page.stage.showAlone(Number(key)) },
  { keys: ["Enter"], group: "Hanging", says: "The picked view alone, and back (also a double click)", onTile: true, does: (page) => page.stage.toggleAlone() },
  { keys: ["0", "Escape"], group: "Hanging", says: "All views", does: (page) => page.stage.showAll() },
  { keys: ["g"], group: "Hanging", button: "Layout", says: "In a row, two by two, or what is larger", does: (page) => page.stage.cycleLayout() },
  { keys: ["c"], group: "Hanging", button: "Prior", pressed: "prior", needs: "prior", says: "The exam before below this one, when there is one", does: (page) => page.togglePrior() },
  { keys: ["ArrowUp", "ArrowDown"], group: "Picked view", says: "Darker, brighter", onTile: true, does: (page, key) => page.stage.withPicked((tile) => tile.nudgeWindow(key === "ArrowUp" ? 1 : -1, 0)) },
  { keys: ["ArrowLeft", "ArrowRight"], group: "Picked view", says: "More contrast, less contrast", onTile: true, does: (page, key) => page.stage.withPicked((tile) => tile.nudgeWindow(0, key === "ArrowRight" ? 1 : -1)) },
  { keys: ["+", "-"], group: "Picked view", says: "Larger, smaller", does: (page, key) => page.stage.withPicked((tile) => tile.zoomBy(key === "+" ? 1.25 : 0.8)) },
  { keys: ["Shift+ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft", "Shift+ArrowRight"], group: "Picked view", says: "Move the image", onTile: true, does: (page, key) => page.stage.withPicked((tile) => tile.panBy(...MOVES[key])) },
  { keys: ["f"], group: "Page", button: "Facts", says: "Scores and facts beside the images on or off", does: (page) => page.toggleFacts() },
  { keys: ["o"], group: "Page", button: "Outcome", says: "Record what became of the exam", does: (page) => page.openOutcome() },
  { keys: ["?"], group: "Page", says: "This help", does: () => openHelp() },
];

const MOVES = { "Shift+ArrowUp": [0, -40], "Shift+ArrowDown": [0, 40], "Shift+ArrowLeft": [-40, 0], "Shift+ArrowRight": [40, 0] };

function toolWords(name) {
  return {
    window: "Window: drag right for less contrast, down for brighter",
    zoom: "Zoom: drag up or down (also the right button and the wheel)",
    pan: "Pan: drag (also the middle button)",
    magnify: "Magnifier: hold",
    measure: "Measure: click twice, or drag; in mm where the image is calibrated",
  }[name];
}

/** Return what a key press means, or null: while one types, or with a modifier, nothing. */
export function meaningOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  if (event.target.closest?.("input, select, textarea") || document.querySelector("dialog[open]")) return null;
  const named = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
  const key = named.length === 1 ? named.toLowerCase() : named;
  const found = KEYS.find((one) => one.keys.includes(key));
  if (!found || (found.onTile && !event.target.closest?.(".tile"))) return null;
  return { key, ...found };
}

/** Open the panel that tells every key, and what the page shows. */
export function openHelp() {
  if (document.getElementById("help")) return;
  const groups = [...new Set(KEYS.map((one) => one.group))];
  const lists = groups.map((group) =>
    el(
      "section",
      {},
      el("h3", {}, group),
      el("dl", { class: "keys" }, KEYS.filter((one) => one.group === group).map(keyLine)),
    ),
  );
  dialog("help", "Keys, and what is shown", el("div", { class: "help-groups" }, lists), explained());
}

function keyLine({ keys, says }) {
  const shown = keys.map((key) => el("kbd", {}, KEY_SIGNS[key] ?? key.replace("Shift+Arrow", "⇧ ")));
  return el("div", {}, el("dt", {}, shown), el("dd", {}, says));
}

const KEY_SIGNS = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→",
  "Shift+ArrowUp": "⇧ ↑", "Shift+ArrowDown": "⇧ ↓", "Shift+ArrowLeft": "⇧ ←", "Shift+ArrowRight": "⇧ →",
};

function explained() {
  const lines = [
    ["Hanging", "R CC, L CC, R MLO, L MLO, all at one scale, chest walls together. An image that came the other way round is mirrored, and says so."],
    ["Score", "The calibrated probability of what the release was trained for; the scale tells in which tenth of its reference exams the score falls."],
    ["Heat and boxes", "Where the score comes from. Their share is their part of the evidence in the image, not how likely cancer is. Dashed: named by the detector alone; thick: by both."],
    ["Abstention", "Why the score should not be relied on. It is shown all the same."],
    ["Measures", "In mm by the pixel spacing of the image. “At the detector” is a little more than in the breast. Without a spacing they are in pixels."],
    ["Arrow keys", "They act on the picked view: click it, or reach it with Tab."],
  ];
  return el("dl", { class: "explained" }, lines.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}
