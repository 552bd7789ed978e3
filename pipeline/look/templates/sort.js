"use strict";
// Buttons in the head of a table sort its rows by the cells' data-v (numbers) or text; empty cells come last.
document.querySelectorAll("table.sortable thead button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    var place = Array.prototype.indexOf.call(head.parentNode.cells, head);
    var sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    var number = head.classList.contains("n");
    var keyed = Array.prototype.map.call(body.rows, function (row, order) {
      var cell = row.cells[place], text = cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
      return { row: row, order: order, empty: text === "", key: number ? Number(text) : text };
    });
    keyed.sort(function (one, other) {
      if (one.empty !== other.empty) { return one.empty ? 1 : -1; }
      var way = one.key < other.key ? -1 : one.key > other.key ? 1 : 0;
      return way === 0 ? one.order - other.order : sign * way;
    });
    head.parentNode.querySelectorAll("[aria-sort]").forEach(function (each) { each.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    keyed.forEach(function (each) { body.appendChild(each.row); });
  });
});
