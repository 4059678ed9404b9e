/**
 * How an image is shown: windows (PS3.3 C.11.2.1.2) and VOI LUT (C.11.2.1.1), as the header has
 * them and as the renderer wants them.
 *
 * Windows are of modality values; what is drawn are pixels, of which a modality value is
 * `pixel * slope + intercept`. A range is `{lower, upper}`: where black ends and white begins.
 */

const pixelOf = (value, { slope = 1, intercept = 0 }) => (value - intercept) / slope;
const valueOf = (pixel, { slope = 1, intercept = 0 }) => pixel * slope + intercept;

/** Return the ways to show an image: its VOI LUT, its windows, or one over its whole range. */
export function windowsOf(image) {
  const lut = image.lut ? [{ function: "LUT", explanation: image.lut.explanation || "VOI LUT", lut: image.lut }] : [];
  const told = (image.windows ?? []).filter((one) => one.width > 0);
  if (lut.length || told.length) return [...lut, ...told];
  const [low, high] = [valueOf(image.minimum, image), valueOf(image.maximum, image)];
  return [{ center: (low + high + 1) / 2, width: Math.max(2, high - low + 1), function: "LINEAR", explanation: "whole range" }];
}

/** Return the range of pixels of a window. */
export function rangeOf(window, image) {
  if (window.lut) {
    const { first, entries } = window.lut;
    return { lower: pixelOf(first, image), upper: pixelOf(first + entries - 1, image) };
  }
  const { center, width, function: kind } = window;
  if (kind === "SIGMOID") {  // the renderer takes the window itself back out of the range
    return linear(pixelOf(center, image), width / (image.slope ?? 1));
  }
  const { lower, upper } = kind === "LINEAR_EXACT" ? exact(center, width) : linear(center, width);
  return { lower: pixelOf(lower, image), upper: pixelOf(upper, image) };
}

const exact = (center, width) => ({ lower: center - width / 2, upper: center + width / 2 });

function linear(center, width) {
  const half = Math.max(width - 1, 1e-6) / 2;
  return { lower: center - 0.5 - half, upper: center - 0.5 + half };
}

/** Return `{center, width}` in modality values of a range of pixels; the inverse of `rangeOf`. */
export function windowOf({ lower, upper }, kind, image) {
  if (kind === "SIGMOID") {
    return { center: valueOf((lower + upper + 1) / 2, image), width: (upper - lower + 1) * (image.slope ?? 1) };
  }
  const [low, high] = [valueOf(lower, image), valueOf(upper, image)];
  const more = kind === "LINEAR_EXACT" ? 0 : 1;
  return { center: (low + high + more) / 2, width: high - low + more };
}

/** Return a range moved by keys: `center` and `width` in twentieths of its width. */
export function nudged({ lower, upper }, center, width) {
  const step = (upper - lower) / 20;
  const shift = center * step;
  const spread = (width * step) / 2;
  if (upper + spread - (lower - spread) < 1) return { lower, upper };
  return { lower: lower + shift - spread, upper: upper + shift + spread };
}

/**
 * Return the points of a VOI LUT for the renderer, flat: `[pixel, grey, grey, grey, 0.5, 0] …`.
 * A table of more than 4096 entries is taken at 4096 of them.
 * @param {Uint16Array} table
 */
export function lutPoints(table, { first, bits }, image) {
  const white = 2 ** bits - 1;
  const count = Math.min(table.length, 4096);
  const points = [];
  for (let at = 0; at < count; at += 1) {
    const entry = Math.round((at * (table.length - 1)) / Math.max(1, count - 1));
    const grey = Math.min(1, table[entry] / white);
    points.push(pixelOf(first + entry, image), grey, grey, grey, 0.5, 0);
  }
  return points;
}
