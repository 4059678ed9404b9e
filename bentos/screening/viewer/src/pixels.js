/**
 * The way of pixels from the service into the renderer: an image loader and its metadata.
 *
 * The service sends them after the modality LUT as little-endian 16-bit numbers, so that no codec
 * is needed here. They are shown at full depth: nothing is made 8-bit before the window is applied.
 */

import { cache, imageLoader, metaData } from "@cornerstonejs/core";
import { ask } from "./api.js";
import { rangeOf, windowsOf } from "./windows.js";

const SCHEME = "mammo";
/** Facts of each image by its image id in the renderer. */
const facts = new Map();
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Let the renderer know an image; returns its image id. */
export function register(image) {
  const imageId = `${SCHEME}:${image.pixels}`;
  facts.set(imageId, image);
  return imageId;
}

/** Return the facts of an image that was registered. */
export const factsOf = (imageId) => facts.get(imageId);

/** Forget images and their pixels: an exam that was left takes no memory. */
export function forgetAll() {
  cache.purgeCache();
  facts.clear();
}

/** Teach the renderer our scheme. */
export function addLoader() {
  imageLoader.registerImageLoader(SCHEME, (imageId) => {
    const stop = new AbortController();
    return { promise: load(imageId, stop.signal), cancelFn: () => stop.abort() };
  });
  metaData.addProvider(provide, 1000);
}

async function load(imageId, signal) {
  const image = facts.get(imageId);
  const pixels = await numbersAt(image.pixels, image.rows * image.columns, signal);
  blacken(pixels, image);
  return asImage(imageId, image, pixels);
}

/** Return `count` little-endian 16-bit numbers from the service. */
export async function numbersAt(path, count, signal) {
  const buffer = await (await ask(path, { signal })).arrayBuffer();
  if (buffer.byteLength !== count * 2) {
    throw new Error(`${buffer.byteLength} bytes came where ${count} numbers of 2 bytes each were told.`);
  }
  if (LITTLE_ENDIAN) return new Uint16Array(buffer);
  const view = new DataView(buffer);
  return Uint16Array.from({ length: count }, (_, place) => view.getUint16(place * 2, true));
}

/** Give the pixels that show no tissue the value that is drawn black. */
function blacken(pixels, { padding_range: range, monochrome1 }) {
  if (!range) return;
  const [low, high] = range;
  const black = monochrome1 ? 65535 : 0;
  for (let at = 0; at < pixels.length; at += 1) {
    if (pixels[at] >= low && pixels[at] <= high) pixels[at] = black;
  }
}

function asImage(imageId, image, pixels) {
  const [row, column] = image.spacing_mm ?? [1, 1];
  return {
    imageId,
    ...firstWindow(image),
    rows: image.rows,
    columns: image.columns,
    height: image.rows,
    width: image.columns,
    minPixelValue: image.minimum,
    maxPixelValue: image.maximum,
    slope: 1,
    intercept: 0,
    color: false,
    rgba: false,
    numberOfComponents: 1,
    invert: Boolean(image.monochrome1),
    rowPixelSpacing: row,
    columnPixelSpacing: column,
    sizeInBytes: pixels.byteLength,
    dataType: "Uint16Array",
    photometricInterpretation: image.monochrome1 ? "MONOCHROME1" : "MONOCHROME2",
    getPixelData: () => pixels,
    imageFrame: {},
  };
}

function provide(type, imageId) {
  const image = facts.get(imageId);
  return image === undefined ? undefined : PROVIDED[type]?.(image, imageId);
}

const PROVIDED = {
  imagePixelModule: (image) => ({
    bitsAllocated: 16,
    bitsStored: 16,
    highBit: 15,
    pixelRepresentation: 0,
    samplesPerPixel: 1,
    photometricInterpretation: image.monochrome1 ? "MONOCHROME1" : "MONOCHROME2",
    rows: image.rows,
    columns: image.columns,
  }),
  // in a plane of its own, in mm, or in pixels where there is no spacing: measures say which
  imagePlaneModule: (image, imageId) => {
    const [row, column] = image.spacing_mm ?? [1, 1];
    return {
      frameOfReferenceUID: imageId,
      rows: image.rows,
      columns: image.columns,
      imageOrientationPatient: [1, 0, 0, 0, 1, 0],
      imagePositionPatient: [0, 0, 0],
      rowCosines: [1, 0, 0],
      columnCosines: [0, 1, 0],
      rowPixelSpacing: row,
      columnPixelSpacing: column,
      pixelSpacing: [row, column],
      usingDefaultValues: !image.spacing_mm,
    };
  },
  generalSeriesModule: () => ({ modality: "MG" }),
  voiLutModule: firstWindow,
};

/** Return the window by which the renderer begins, in pixels; the tile sets it exactly later. */
function firstWindow(image) {
  const [first] = windowsOf(image);
  const { lower, upper } = rangeOf(first, image);
  const kind = first.lut ? "LINEAR" : first.function;
  return { windowCenter: [(lower + upper + 1) / 2], windowWidth: [upper - lower + 1], voiLUTFunction: kind };
}
