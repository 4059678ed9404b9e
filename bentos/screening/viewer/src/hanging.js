/** Which image hangs where, and which way round: pure functions of facts and pixels. */

export const ORDER = ["R CC", "L CC", "R MLO", "L MLO"];

/**
 * Return the images in hanging order: the four standard views first, at most one of each (the
 * scored one), then whatever else the exam has.
 * @returns {{slots: (object|null)[], others: object[]}} slots follow `ORDER`; null is a missing view
 */
export function hang(images) {
  const left = [...images];
  const slots = ORDER.map((name) => {
    const fits = left.filter((one) => `${one.laterality} ${one.view}` === name);
    const best = fits.find((one) => one.pooled !== false) ?? fits[0] ?? null;
    if (best) left.splice(left.indexOf(best), 1);
    return best;
  });
  return { slots, others: left };
}

/** Return the side of the screen that a breast's chest wall is hung at: R right, L left. */
export const wallOnScreen = (laterality) => (laterality === "R" ? "right" : laterality === "L" ? "left" : null);

/**
 * Find at which side of the matrix the chest wall is: where more of the breast is.
 *
 * The mean of the outermost twelfth of the columns on each side is compared, on every 16th row,
 * with MONOCHROME1 the other way round. Null where the sides differ by less than a fiftieth of
 * the image's range: then nothing is mirrored.
 * @param {Uint16Array} pixels row by row
 * @returns {"left"|"right"|null}
 */
export function wallInImage(pixels, { rows, columns, minimum, maximum, monochrome1 }) {
  const band = Math.max(1, Math.floor(columns / 12));
  const sums = { left: 0, right: 0 };
  let counted = 0;
  const light = (value) => {
    const held = Math.min(maximum, Math.max(minimum, value)); // padding is beyond both ends
    return monochrome1 ? maximum - held : held - minimum;
  };
  for (let row = 0; row < rows; row += 16) {
    const start = row * columns;
    for (let column = 0; column < band; column += 2) {
      sums.left += light(pixels[start + column]);
      sums.right += light(pixels[start + columns - 1 - column]);
      counted += 1;
    }
  }
  const difference = (sums.left - sums.right) / Math.max(1, counted);
  if (Math.abs(difference) < (maximum - minimum) / 50) return null;
  return difference > 0 ? "left" : "right";
}

/** True when an image must be mirrored so that the chest walls of the two breasts meet. */
export function mustMirror(laterality, wall) {
  const wanted = wallOnScreen(laterality);
  return wanted !== null && wall !== null && wall !== wanted;
}

/**
 * Return how the slots are laid out: `rows` × `columns` of places in `ORDER`.
 * In a wide window four portraits side by side are larger than two by two.
 */
export function layoutFor(name, width, height) {
  const wanted = name === "auto" ? (width / height > 1.35 ? "row" : "square") : name;
  return { row: { rows: 1, columns: 4 }, square: { rows: 2, columns: 2 } }[wanted];
}
