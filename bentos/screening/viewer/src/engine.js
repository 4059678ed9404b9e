/** The medical viewer library (cornerstone3D), started once, with the tools that a reader uses. */

import { RenderingEngine, getShouldUseCPURendering, init as startCore } from "@cornerstonejs/core";
import {
  Enums,
  LengthTool,
  MagnifyTool,
  PanTool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
  addTool,
  annotation,
  init as startTools,
} from "@cornerstonejs/tools";
import vtkDataArray from "@kitware/vtk.js/Common/Core/DataArray.js";
import vtkColorTransferFunction from "@kitware/vtk.js/Rendering/Core/ColorTransferFunction.js";
import { addLoader, factsOf } from "./pixels.js";

const GROUP = "reading";
const { MouseBindings } = Enums;

/** What the left button does, by the key that picks it. */
export const TOOLS = [
  { name: "window", key: "w", label: "Window", tool: WindowLevelTool.toolName },
  { name: "zoom", key: "z", label: "Zoom", tool: ZoomTool.toolName },
  { name: "pan", key: "p", label: "Pan", tool: PanTool.toolName },
  { name: "magnify", key: "m", label: "Magnify", tool: MagnifyTool.toolName },
  { name: "measure", key: "l", label: "Measure", tool: LengthTool.toolName },
];

let engine = null;
let group = null;

/**
 * Return the rendering engine, started at the first call.
 *
 * Without WebGL, or with `?cpu` in the address, the library draws on the processor: slower, the
 * same picture.
 */
export function startEngine() {
  if (engine) return engine;
  startCore({ rendering: { useCPURendering: new URLSearchParams(location.search).has("cpu") } });
  startTools();
  addLoader();
  for (const one of [WindowLevelTool, ZoomTool, PanTool, MagnifyTool, LengthTool]) addTool(one);
  group = ToolGroupManager.createToolGroup(GROUP);
  for (const { tool } of TOOLS) group.addTool(tool, SETTINGS[tool] ?? {});
  engine = new RenderingEngine("mammo");
  pickTool("window");
  return engine;
}

const SETTINGS = {
  [LengthTool.toolName]: { getTextLines: lengthWords },
  [MagnifyTool.toolName]: { magnifySize: 3, magnifyWidth: 300, magnifyHeight: 300 },
};

/** Tell on which side of the machine the images are drawn. */
export const drawnBy = () => (getShouldUseCPURendering() ? "processor" : "WebGL");

/** Let the tools work in a viewport. */
export const useTools = (viewportId) => group.addViewport(viewportId, engine.id);

/** Give the left button to a tool; the middle one pans, the right one and the wheel zoom. */
export function pickTool(name) {
  const picked = TOOLS.find((one) => one.name === name).tool;
  const bindings = new Map(TOOLS.map(({ tool }) => [tool, []]));
  bindings.get(picked).push({ mouseButton: MouseBindings.Primary });
  bindings.get(PanTool.toolName).push({ mouseButton: MouseBindings.Auxiliary });
  bindings.get(ZoomTool.toolName).push({ mouseButton: MouseBindings.Secondary }, { mouseButton: MouseBindings.Wheel });
  for (const [tool, asked] of bindings) {
    if (asked.length) group.setToolActive(tool, { bindings: asked });
    else if (tool === LengthTool.toolName) group.setToolPassive(tool);
    else group.setToolDisabled(tool);
  }
}

/** Let windows be drawn by 4096 steps instead of the library's 1024: steep curves need them. */
export function drawFinely(viewport) {
  if (drawnBy() === "WebGL") viewport.getDefaultActor().actor.getMapper().setColorTextureWidth(4096);
}

/**
 * Draw a viewport by a VOI LUT instead of a straight line; a window drag then stretches it.
 * The processor's drawing has no such table to set: there the range of the LUT is shown, straight.
 * @param {number[]} points of `lutPoints`
 */
export function drawByLut(viewport, points) {
  if (drawnBy() !== "WebGL") return;
  const table = vtkColorTransferFunction.newInstance();
  const turned = viewport.getProperties().invert ? points.map((value, at) => ([1, 2, 3].includes(at % 6) ? 1 - value : value)) : points;
  table.buildFunctionFromArray(vtkDataArray.newInstance({ values: Float32Array.from(turned), numberOfComponents: 6 }));
  viewport.getDefaultActor().actor.getProperty().setRGBTransferFunction(0, table);
}

/** Remove all measures. */
export const removeMeasures = () => annotation.state.removeAllAnnotations();

/** Say how long a measure is, and of what kind its millimetres are. */
function lengthWords(data, targetId) {
  const [from, to] = data.handles.points;
  const length = Math.hypot(...from.map((value, axis) => value - to[axis]));
  return [lengthText(length, factsOf(targetId.replace(/^imageId:/, "")))];
}

/** Return a length in words; in pixels where the image is not calibrated. */
export function lengthText(length, image) {
  if (!image?.spacing_mm) return `${length.toFixed(0)} pixels, not calibrated`;
  return `${length.toFixed(1)} mm${image.spacing_kind === "imager" ? " at the detector" : ""}`;
}
