// Elements. Text comes in as text nodes alone, so nothing that a tenant wrote is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/** Make an element: attributes by name (`onclick` and the like are listeners), then its children. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** Make an element of a drawing. */
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Tell something at the foot of the page, and to screen readers; it goes after 8 s. */
export function tell(text, { bad = false } = {}) {
  const line = h("p", { class: bad ? "bad" : null }, text);
  document.getElementById("messages").append(line);
  setTimeout(() => line.remove(), 8000);
}

/** Ask before something is done; resolves to whether to go on. */
export function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "ask", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("form", { method: "dialog" },
        h("h1", { id: "ask" }, title), h("p", null, text),
        h("div", { class: "row" },
          h("button", { class: "main", value: "yes" }, verb), h("button", { value: "no", autofocus: true }, "Cancel"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Make a table.
 * columns: [{title, cell: (item) => node or text, number?, sort?: (item) => comparable}]; a click on a title sorts.
 */
export function table(caption, columns, items, { empty = "There is nothing.", order = null } = {}) {
  if (!items.length) return h("div", { class: "scroll" }, h("p", { class: "empty" }, empty));
  const body = h("tbody");
  const titles = columns.map((column) => {
    const title = column.sort
      ? h("button", { onclick: () => sortBy(column) }, column.title)
      : column.title;
    return h("th", { scope: "col", class: column.number ? "number" : null }, title);
  });
  let sorted = order ?? { column: null, down: false };

  function show() {
    const column = columns.find((one) => one.title === sorted.column);
    const rows = column ? [...items].sort((a, b) => compare(column.sort(a), column.sort(b)) * (sorted.down ? -1 : 1)) : items;
    body.replaceChildren(...rows.map((item) => h("tr", null, columns.map((one) =>
      h("td", { class: one.number ? "number" : one.id ? "id" : null, "data-title": one.title }, one.cell(item) ?? "–")))));
    columns.forEach((one, place) => {
      const way = one === column ? (sorted.down ? "descending" : "ascending") : null;
      if (way) titles[place].setAttribute("aria-sort", way); else titles[place].removeAttribute("aria-sort");
    });
  }

  function sortBy(column) {
    sorted.down = sorted.column === column.title ? !sorted.down : Boolean(column.number);
    sorted.column = column.title;
    show();
  }

  show();
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: "stack" }, h("caption", null, caption), h("thead", null, h("tr", null, titles)), body));
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Make a list of names and values. */
export const facts = (pairs) => h("dl", { class: "facts" },
  pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

/** Make the figures at the head of a page: [[name, value, extra?]]. */
export const figures = (items) => h("div", { class: "cards" },
  items.map(([name, value, extra]) => h("dl", { class: "figure" }, h("dt", null, name), h("dd", null, String(value), extra))));
