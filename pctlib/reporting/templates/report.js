"use strict";
(() => {
  const button = document.getElementById("toggle-code");
  const cells = document.querySelectorAll("details.code");
  button?.addEventListener("click", () => {
    const show = button.getAttribute("aria-pressed") === "false";
    cells.forEach((cell) => { cell.open = show; });
    button.setAttribute("aria-pressed", String(show));
    button.textContent = show ? "Hide all code" : "Show all code";
  });
  // On a narrow screen the contents stand above the text: folded, they do not push it away.
  const contents = document.querySelector(".contents details");
  if (contents && matchMedia("(max-width: 68rem)").matches) contents.open = false;
})();
