"use strict";
// A decision threshold to move: a patch is tumor where its probability exceeds it, as models.networks.decision has it.
document.querySelectorAll(".threshold").forEach(function (box) {
  var range = box.querySelector("input[type=range]"), number = box.querySelector("input[type=number]"), output = box.querySelector("output"), steps = Number(range.max);
  var unknown = box.dataset.unknown, own = box.dataset.own;
  // "k:n ...": n patches exceed k thresholds of the grid. Above step k are those that exceed more than k.
  function above(text) {
    var told = new Array(steps + 3).fill(0);
    text.split(" ").forEach(function (pair) {
      var both = pair.split(":");
      if (both.length === 2) { told[Number(both[0])] = Number(both[1]); }
    });
    for (var k = steps; k >= 0; k--) { told[k] += told[k + 1]; }
    return told.slice(1);
  }
  function percent(part, whole) {
    var tenths = Math.floor((2000 * part + whole) / (2 * whole));
    return Math.floor(tenths / 10) + "." + tenths % 10;
  }
  var rows = Array.prototype.map.call(box.querySelectorAll("tr[data-part]"), function (row) {
    var kinds = ["tumor", "rest"].map(function (kind) {
      var data = row.dataset;
      return { size: Number(data[kind + "Size"]), own: Number(data[kind + "Own"]), judged: data[kind + "Judged"] === "1",
        name: data[kind + "Name"], above: above(data[kind] || "") };
    });
    return { sums: !("tumor" in row.dataset), cells: row.querySelectorAll("td"), kinds: kinds };
  });
  function told(row, kind, step) {
    if (step === null) { return row.kinds[kind].own; }
    if (!row.sums) { return row.kinds[kind].above[step]; }
    return rows.reduce(function (sum, each) { return each.sums ? sum : sum + each.kinds[kind].above[step]; }, 0);
  }
  // Step null: the model's own threshold, which need not be on the grid.
  // Typed: the number field is left as it is, for who types is not done yet.
  function show(step, typed) {
    var worst = null, text = step === null ? own : (step / steps).toFixed(3);
    rows.forEach(function (row) {
      var tumor = row.kinds[0], rest = row.kinds[1], found = told(row, 0, step), alarms = told(row, 1, step);
      var right = [found, rest.size - alarms];
      [found, tumor.size - found, alarms, rest.size - alarms].forEach(function (n, place) {
        row.cells[place].textContent = n.toLocaleString("en-US");
      });
      row.kinds.forEach(function (kind, place) {
        row.cells[4 + place].textContent = kind.judged ? percent(right[place], kind.size) + " %" : unknown;
        if (!row.sums && kind.judged && (worst === null || right[place] / kind.size < worst.share)) {
          worst = { share: right[place] / kind.size, text: kind.name + ", " + percent(right[place], kind.size) + " %" };
        }
      });
    });
    output.textContent = "Decision threshold " + text + (step === null ? ", the model’s own" : "") + ". Worst group: " +
      (worst === null ? unknown : worst.text) + ".";
    range.setAttribute("aria-valuetext", text);
    if (!typed) { number.value = text; }
  }
  number.addEventListener("input", function () {
    if (number.value === "" || !number.validity.valid) { return; }
    range.value = String(Math.round(steps * Number(number.value)));
    show(Number(range.value), true);
  });
  number.addEventListener("change", function () { number.value = range.getAttribute("aria-valuetext"); });
  range.addEventListener("input", function () { show(Number(range.value)); });
  box.querySelector("button").addEventListener("click", function () {
    range.value = String(Math.round(steps * Number(own)));
    show(null);
  });
  box.querySelector(".controls").hidden = false;
  show(null);
});
