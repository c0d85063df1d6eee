// Small helpers for the document: what is there already is changed, not made anew, so that focus and selection stay.

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function write(node, text) {
  if (node.textContent !== text) node.textContent = text; // a screen reader hears changes only
}

// What the monitor answers, as it is read; null where it refuses, or the connection is lost, which the page says elsewhere.
export async function fetched(path, read = (answer) => answer.json(), options = {}) {
  try {
    const answer = await fetch(path, options);
    return answer.ok ? await read(answer) : null;
  } catch {
    return null;
  }
}

// As many rows as there are lists of cells; a cell is text, or a function that fills its element.
export function rows(body, lists) {
  while (body.rows.length > lists.length) body.deleteRow(-1);
  lists.forEach((cells, place) => {
    const row = body.rows[place] ?? body.insertRow();
    cells.forEach((cell, column) => {
      const node = row.cells[column] ?? row.appendChild(column ? make("td") : make("th", { scope: "row" }));
      if (typeof cell === "function") cell(node);
      else write(node, String(cell));
    });
  });
}

// A bar that shows how full something is; the words beside it say the same.
export function gauge(node, share, text, full = false) {
  if (!node.firstElementChild) {
    const bar = make("span", { className: "gauge" }, make("span"));
    bar.setAttribute("aria-hidden", "true");
    node.replaceChildren(bar, make("span", { className: "gauge-text" }));
  }
  const [bar, words] = node.children;
  bar.firstChild.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  bar.classList.toggle("full", full);
  write(words, text);
}
