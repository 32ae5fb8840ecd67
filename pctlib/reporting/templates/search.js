(() => {
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  const pages = JSON.parse(document.getElementById("search-index").textContent);
  const here = document.querySelector("header [aria-current]")?.getAttribute("href");
  const texts = pages.map((page) => ({ ...page, all: `${page.title} ${page.question} ${page.headings}`.toLowerCase() }));
  // On this page all of its text is searched: places are its headings and captions.
  const places = [...document.querySelectorAll("main h2[id], main h3[id], figure[id], .table-block[id]")].map((place) => {
    const words = place.matches("h2, h3") ? place : place.querySelector("figcaption, caption");
    return { file: `#${place.id}`, title: words.textContent.replace(/\s*#?\s*$/, "").trim().slice(0, 90), all: words.textContent.toLowerCase() };
  });
  input.parentElement.hidden = false;

  const find = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const match = (entry) => wanted.every((word) => entry.all.includes(word));
    const found = wanted.length ? [...texts.filter(match), ...places.filter(match)].slice(0, 12) : [];
    list.replaceChildren(...found.map((entry) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = entry.file;
      link.textContent = entry.title;
      const heading = entry.headings?.split(" · ").find((text) => wanted.some((word) => text.toLowerCase().includes(word)));
      const note = document.createElement("span");
      note.textContent = entry.file.startsWith("#") ? "on this page" : heading ?? entry.question ?? "";
      if (entry.file === here) note.textContent = "this page";
      item.append(link, note);
      return item;
    }));
    if (wanted.length && !found.length) {
      const none = document.createElement("li");
      none.textContent = "Nothing found.";
      list.append(none);
    }
    list.hidden = !wanted.length;
  };
  input.addEventListener("input", find);
  input.addEventListener("focus", find);
  document.addEventListener("click", (event) => { if (!input.parentElement.contains(event.target)) list.hidden = true; });
  document.addEventListener("keydown", (event) => {
    const typing = document.activeElement?.matches("input, textarea, select");
    if (event.key === "/" && !typing) { event.preventDefault(); input.focus(); }
    if (event.key === "Escape") { list.hidden = true; if (document.activeElement === input) input.blur(); }
  });
  input.parentElement.addEventListener("keydown", (event) => {
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "Enter" && document.activeElement === input && links.length) links[0].click();
    if (event.key === "ArrowDown" && links.length) { event.preventDefault(); links[Math.min(at + 1, links.length - 1)].focus(); }
    if (event.key === "ArrowUp" && at >= 0) { event.preventDefault(); (links[at - 1] ?? input).focus(); }
  });
  list.addEventListener("click", () => { list.hidden = true; });
})();
