// Elements, and how a new picture of a view replaces the old one. All text of strangers passes through here, as text.

/// Characters that show nothing, or turn what stands beside them round, as their codes.
const kUnseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/// More of one text stops a browser for minutes, and who reads it?
const kMost = 4000;
const cut = (text) => (text.length > kMost ? `${text.slice(0, kMost)} … (${text.length - kMost} characters more)` : text);
export const shown = (text) =>
  cut(String(text)).replace(kUnseen, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

const kSvg = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "href" && !value.startsWith("#/")) throw new Error("a link that leaves the page");
    if (name === "value" && element.matches("input, select")) continue; // below: a select has its options first
    element.setAttribute(name, value === true ? "" : name === "title" || name === "aria-label" ? shown(value) : value);
  }
  const some = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...some.map((child) => (child instanceof Node ? child : shown(child))));
  if (attributes?.value !== undefined && element.matches("input, select")) element.value = attributes.value ?? "";
  return element;
}

/// Attributes that are null or false are left out, and so are children.
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(kSvg, tag), attributes, children);

/// The only way to an address from data: a route of this page.
export function route(view, argument, query) {
  let hash = "#/" + view;
  if (argument) hash += "/" + encodeURIComponent(argument);
  const words = Object.entries(query ?? {}).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  if (words.length > 0) hash += "?" + words.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return hash;
}

/// Stands for what has not been read yet.
export const reading = () => h("p", {class: "reading quiet"}, "Reading …");

export const link = (href, ...text) => h("a", {href}, ...text);

const isField = (node) => node instanceof HTMLInputElement || node instanceof HTMLSelectElement;
const keyOf = (node) => node.dataset?.key;

function morphAttributes(old, next) {
  for (const {name} of [...old.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name); // open: what the reader unfolded
  }
  for (const {name, value} of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

/// Makes old look as next, keeping its elements, so that focus, scroll positions, a selection and what was typed stay.
/// Children with a data-key are found by it. fields: take the values of fields too, as after a change of the address.
export function morph(old, next, fields) {
  morphAttributes(old, next);
  morphChildren(old, [...next.childNodes], fields);
  if (fields && isField(old)) old.value = next.value;
}

export function morphChildren(parent, wanted, fields) {
  const keys = new Set(wanted.map(keyOf));
  const keyed = new Map();
  for (const child of [...parent.childNodes]) {
    const key = keyOf(child);
    if (key === undefined) continue;
    if (keys.has(key)) keyed.set(key, child);
    else child.remove();
  }
  let at = parent.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    let old = key === undefined ? at : keyed.get(key);
    if (old && (old.nodeName !== next.nodeName || keyOf(old) !== key)) old = undefined;
    if (!old) {
      parent.insertBefore(next, at);
      continue;
    }
    keyed.delete(key); // of two with one key the second is new
    if (old === at) at = at.nextSibling;
    else parent.insertBefore(old, at);
    if (old.nodeType === Node.ELEMENT_NODE) morph(old, next, fields);
    else if (old.data !== next.data) old.data = next.data;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/// A table in a box of its own that scrolls: heads are texts, or [text, class]; rows are {key, cells, …attributes of
/// the row}, and a cell is a node, a text, or {class, of: nodes}. The first cell of a row is its head.
export function table(caption, heads, rows, nothing) {
  if (rows.length === 0) return h("p", {class: "quiet"}, nothing);
  const kinds = heads.map((head) => (Array.isArray(head) ? head[1] : null));
  const head = heads.map((text, i) => h("th", {scope: "col", class: kinds[i]}, Array.isArray(text) ? text[0] : text));
  const body = rows.map(({key, cells, ...attributes}) =>
    h(
      "tr",
      {"data-key": key, ...attributes},
      cells.map((cell, i) => {
        const plain =
          cell === null ||
          cell === undefined ||
          typeof cell !== "object" ||
          cell instanceof Node ||
          Array.isArray(cell);
        const {class: more, of, title} = plain ? {of: cell} : cell;
        const names = [kinds[i], more].filter(Boolean).join(" ") || null;
        return h(i === 0 ? "th" : "td", {scope: i === 0 ? "row" : null, class: names, title}, of ?? "");
      }),
    ),
  );
  return h(
    "div",
    {class: "scroll", tabindex: 0, role: "region", "aria-label": caption},
    h(
      "table",
      null,
      h("caption", {class: "hidden"}, caption),
      h("thead", null, h("tr", null, head)),
      h("tbody", null, body),
    ),
  );
}
