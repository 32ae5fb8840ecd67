"use strict";
(() => {
  const stored = (key, value) => {
    try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; }
  };

  const button = document.getElementById("toggle-code");
  const cells = document.querySelectorAll("details.code");
  const showCode = (show) => {
    cells.forEach((cell) => { cell.open = show; });
    button.setAttribute("aria-pressed", String(show));
    button.textContent = show ? "Hide all code" : "Show all code";
  };
  button?.addEventListener("click", () => {
    const show = button.getAttribute("aria-pressed") === "false";
    showCode(show);
    stored("pctlib-code", show ? "shown" : "hidden");
  });
  if (button && stored("pctlib-code") === "shown") showCode(true);

  // On a narrow screen the contents stand above the text: folded, they do not push it away.
  const contents = document.querySelector(".contents details");
  if (contents && matchMedia("(max-width: 68rem)").matches) contents.open = false;

  const themes = ["auto", "light", "dark"];
  const theme = document.getElementById("theme");
  const useTheme = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = `Theme: ${name}`;
  };
  theme.hidden = false;
  useTheme(document.documentElement.dataset.theme ?? "auto");
  theme.addEventListener("click", () => {
    const name = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % 3];
    useTheme(name);
    stored("pctlib-theme", name);
  });

  const menu = document.querySelector("header .menu");
  const closeMenu = () => { if (menu?.open) { menu.open = false; menu.querySelector("summary").focus(); } };
  document.addEventListener("click", (event) => { if (menu?.open && !menu.contains(event.target)) menu.open = false; });

  // A tooltip stays inside the window.
  document.querySelectorAll("dfn.term").forEach((term) => {
    const meaning = term.querySelector(".meaning");
    const place = () => {
      meaning.style.left = "0px";
      const { left, right } = meaning.getBoundingClientRect();
      const room = document.documentElement.clientWidth - 8;
      meaning.style.left = `${Math.max(8 - left, Math.min(0, room - right))}px`;
    };
    term.addEventListener("mouseenter", place);
    term.addEventListener("focus", place);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    closeMenu();
    if (document.activeElement?.matches("dfn.term")) document.activeElement.blur();
  });

  // What a link leads to is opened; so is all before printing.
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
  addEventListener("beforeprint", () => document.querySelectorAll("details.fold").forEach((fold) => { fold.open = true; }));

  // The sign beside a heading or caption leads to it, and copies the address.
  const copied = document.createElement("p");
  copied.className = "copied";
  copied.setAttribute("role", "status");
  document.body.append(copied);
  document.querySelectorAll("main a.anchor").forEach((anchor) => {
    anchor.title = "Copy the link";
    anchor.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(anchor.href); } catch { return; }
      copied.textContent = "Link copied.";
      setTimeout(() => { copied.textContent = ""; }, 2000);
    });
  });

  // Pictures open large.
  const dialog = document.createElement("dialog");
  dialog.className = "large";
  dialog.setAttribute("aria-label", "Picture");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  dialog.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  document.querySelectorAll("figure .picture img").forEach((image) => {
    image.tabIndex = 0;
    image.title = "Open large";
    const open = () => {
      const copy = image.cloneNode();
      copy.removeAttribute("tabindex");
      copy.removeAttribute("width");
      copy.removeAttribute("title");
      dialog.replaceChildren(close, copy);
      dialog.showModal();
    };
    image.addEventListener("click", open);
    image.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open();
    });
  });
})();
