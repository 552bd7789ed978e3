"use strict";
// A button beside every command copies it. Without this script there is none, and the text can be selected.
document.querySelectorAll("pre.command").forEach(function (block) {
  var button = document.createElement("button"), told = document.createElement("span");
  function copied() { told.textContent = "copied"; }
  function selected() {
    var range = document.createRange();
    range.selectNodeContents(block);
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
    told.textContent = document.execCommand("copy") ? "copied" : "selected: copy it by the keyboard";
  }
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", "copy: " + block.textContent);
  told.setAttribute("role", "status");
  told.className = "small";
  button.addEventListener("click", function () {
    // A page that was opened from disk may not have the clipboard.
    if (navigator.clipboard) { navigator.clipboard.writeText(block.textContent).then(copied, selected); } else { selected(); }
  });
  block.after(button, " ", told);
});
