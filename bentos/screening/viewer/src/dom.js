/** Elements without a framework: text is always text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} facts attributes; `on…` are listeners, `class`, `text`, booleans
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function el(tag, facts = {}, ...children) {
  return fill(document.createElement(tag), facts, children);
}

/** Make an SVG element; see `el`. */
export function svg(tag, facts = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), facts, children);
}

function fill(node, facts, children) {
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return node;
}

/** Say something to people who do not see the screen, and at its foot to those who do. */
export function say(text) {
  const told = document.getElementById("told");
  told.textContent = "";
  requestAnimationFrame(() => (told.textContent = text));
}

/** Put a page into the main part and move the focus there, as a page load would. */
export function show(title, ...nodes) {
  const view = document.getElementById("view");
  document.title = `${title} · mammo viewer`;
  view.replaceChildren(...nodes);
  window.scrollTo(0, 0);
  view.focus({ preventScroll: true });
}

/** Return a modal dialog with a heading and a button that closes it. */
export function dialog(id, title, ...nodes) {
  const close = el("button", { type: "button", onclick: () => box.close() }, "Close");
  const box = el(
    "dialog",
    { id, "aria-labelledby": `${id}-title` },
    el("div", { class: "dialog-head" }, el("h2", { id: `${id}-title` }, title), close),
    ...nodes,
  );
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
