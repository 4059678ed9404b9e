/** Heat and boxes above an image, in the place where the image is now. */

import { ask } from "./api.js";
import { svg } from "./dom.js";
import { drawnBy } from "./engine.js";

/**
 * Return the canvas of an image's heat, or null where there is none: warm colours speak for what
 * the release looks for, blue against it, and where it says nothing one sees the image.
 */
export async function loadHeat(image) {
  if (!image.heat) return null;
  const bitmap = await createImageBitmap(await (await ask(image.heat)).blob());
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.className = "heat";
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/**
 * Return where a place in the image (in pixels; its first pixel begins at 0) is on the tile.
 * With WebGL the library's places are those of pixels' middles, on the processor of their corners.
 */
export function onTile(viewport, image, x, y) {
  const [row, column] = image.spacing_mm ?? [1, 1];
  const half = drawnBy() === "WebGL" ? 0.5 : 0;
  return viewport.worldToCanvas([(x - half) * column, (y - half) * row, 0]);
}

/** Lay the heat over the image: the same affine map that the image is under. */
export function placeHeat(canvas, viewport, image) {
  const [left, top] = onTile(viewport, image, 0, 0);
  const [right, rightTop] = onTile(viewport, image, image.columns, 0);
  const [bottomLeft, bottom] = onTile(viewport, image, 0, image.rows);
  const { width, height } = canvas;
  const map = [(right - left) / width, (rightTop - top) / width, (bottomLeft - left) / height, (bottom - top) / height];
  canvas.style.transform = `matrix(${map.join(",")},${left},${top})`;
}

/** Return the boxes of an image's findings as they lie on the tile now. */
export function boxesOf(viewport, image) {
  return (image.findings ?? []).flatMap((one, place) => {
    const [x1, y1] = onTile(viewport, image, one.x_min, one.y_min);
    const [x2, y2] = onTile(viewport, image, one.x_max, one.y_max);
    const [x, y] = [Math.min(x1, x2), Math.min(y1, y2)];
    const text = `${place + 1}: ${restsOn(one)}`;
    return [
      svg("rect", { class: sourceOf(one), x, y, width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) }),
      svg("text", { ...within(x, Math.max(x1, x2), viewport), y: y > 18 ? y - 5 : Math.max(y1, y2) + 15 }, text),
    ];
  });
}

/** Return what a finding rests on: its part of the evidence, the detector's score, or both. */
function restsOn(one) {
  const told = one.share == null ? [] : [`${Math.round(one.share * 100)} % of the evidence`];
  return (one.score == null ? told : [...told, `detector ${one.score.toFixed(2)}`]).join(", ");
}

/** Return the class of a box by who named the place: heat, detector or both. */
function sourceOf(one) {
  return (one.sources ?? ["heat"]).length > 1 ? "both" : (one.sources ?? ["heat"])[0];
}

/** Return where a box's words begin, or end where they would run over the tile's edge. */
function within(left, right, viewport) {
  const room = viewport.element.clientWidth - left;
  return room < 150 ? { x: right, "text-anchor": "end" } : { x: left };
}
