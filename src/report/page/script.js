// Sorts a table by a column, and shows the layers of one batch. Without it the page shows the same, unsorted.
"use strict";
for (const table of document.querySelectorAll(".scroll table")) {
  const heads = table.tHead.rows[0].cells;
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const value = (row) => row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [parseFloat(value(a)), parseFloat(value(b))];
        // What has no number comes last, either way.
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
        const less = isNaN(x) ? value(a).localeCompare(value(b)) : x - y;
        return down ? -less : less;
      };
      table.tBodies[0].append(...rows.sort(order));
    });
  }
}
for (const chooser of document.querySelectorAll(".chooser")) {
  const select = chooser.querySelector("select");
  chooser.hidden = false;
  select.addEventListener("change", () => {
    for (const layers of chooser.parentElement.querySelectorAll(".layers")) {
      if (layers.dataset.image === chooser.dataset.image) layers.hidden = layers.dataset.batch !== select.value;
    }
  });
}
