/** Numbers, times and codes in words. */

/** What a code asks of the reader; a code that is not here is shown as it is. */
export const CODES = {
  OUT_OF_DISTRIBUTION: "The images look unlike those the release was made with. Do not rely on the score.",
  UNKNOWN_SCANNER: "No operating point was chosen for this scanner; the one for all others was used.",
  MISSING_VIEW: "One of the four standard views is missing.",
  NO_BREAST_FOUND: "No breast was found in an image; the whole image was scored.",
  FILE_REFUSED: "A file could not be read and was left out.",
  SPACING_DETECTOR: "Lengths are those at the detector, a little above the breast's.",
  SATURATED: "Many pixels are at the end of their range.",
  LOW_CONTRAST: "The image has little contrast.",
  CONTRAST_ENHANCED: "A contrast-enhanced image is among the views.",
  TOMOSYNTHESIS: "A tomosynthesis volume was left out; only 2D images are scored.",
  NOT_MAMMOGRAPHY: "A file is of another modality and was left out.",
  NOTHING_READABLE: "None of the files could be scored.",
};

/** Where the log is of before it kept this, and the answer itself is gone. */
export const NOT_KNOWN = "It is not known any more whether anything speaks against the score.";
export const NOT_JUDGED = "Not judged whether the images look like those the release was tried on (too few reference exams).";

export const STATES = {
  scored: "scored",
  partly: "partly scored",
  failed: "failed",
  receiving: "receiving",
  waiting: "waiting",
  scoring: "scoring",
};

/** Return a probability as `0.026`, `<0.001` or a dash. */
export function probability(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 && value < 0.001 ? "<0.001" : value.toFixed(3);
}

/** Return an instant in the reader's own time, or a dash. */
export function instant(text) {
  if (!text) return "–";
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? String(text) : at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** Return side and projection, as `R MLO`. */
export function viewName(image) {
  return `${image.laterality} ${image.view}`.trim();
}

/** Return a spacing in words: what a measure in this image means. */
export function spacingWords(image) {
  if (!image.spacing_mm) return "not calibrated: lengths are in pixels";
  const [row, column] = image.spacing_mm;
  const size = row === column ? `${row.toFixed(3)} mm` : `${row.toFixed(3)} × ${column.toFixed(3)} mm`;
  return image.spacing_kind === "imager"
    ? `pixel ${size} at the detector; in the breast a little less`
    : `pixel ${size}`;
}
