// Elements. Text only ever becomes a text node: what callers say and how they name themselves is not markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes by name (`onclick` and the like take functions; false and null leave out), then children. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for drawings. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : printable(value));
  }
  element.append(...present(children));
  return element;
}

const present = (children) =>
  children
    .flat(3)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : printable(child)));

/** Text of others: kept apart from what stands around it, also where it is written from right to left. */
export function told(text, attributes = {}) {
  return h("bdi", attributes, text ?? "");
}

/** Without characters that are not seen but turn, break or hide what stands beside them. */
function printable(text) {
  return String(text).replace(UNSEEN, "\u00b7");
}

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Put the children in; what is the same element already keeps its place and its focus. */
export function fill(element, ...children) {
  const wanted = present(children);
  if (wanted.length === element.childNodes.length && wanted.every((child, at) => child === element.childNodes[at])) return;
  element.replaceChildren(...wanted);
}

/** Change a text only where it has changed: selections and screen readers are left alone. */
export function say(element, text) {
  const shown = printable(text);
  if (element.textContent !== shown) element.textContent = shown;
}
