(() => {
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  const pages = JSON.parse(document.getElementById("search-index").textContent);
  const here = document.querySelector("header [aria-current]")?.getAttribute("href");
  const isHere = (file) => file === here;
  // Of this page all headings and captions are there; of the others those that their notebooks have.
  const own = [...document.querySelectorAll("main h2[id], main h3[id], figure[id], .table-block[id]")].map((place) => {
    const words = place.matches("h2, h3") ? place : place.querySelector("figcaption, caption");
    return { href: `#${place.id}`, title: words.textContent.replace(/\s*#?\s*$/, "").trim().slice(0, 110), note: "on this page" };
  });
  const others = pages.filter(({ file }) => !isHere(file)).flatMap(({ file, title, places }) =>
    places.map(([anchor, text]) => ({ href: `${file}#${anchor}`, title: text, note: title })));
  const titles = pages.map(({ file, title, question }) => ({ href: file, title, note: isHere(file) ? "this page" : question, asks: question }));
  const entries = [...titles, ...own, ...others].map((entry) => ({ ...entry, all: `${entry.title} ${entry.asks ?? ""}`.toLowerCase() }));
  input.parentElement.hidden = false;

  const shown = ({ href, title, note }) => {
    const [item, link, words] = ["li", "a", "span"].map((tag) => document.createElement(tag));
    link.href = href;
    link.textContent = title;
    words.textContent = note;
    item.append(link, words);
    return item;
  };
  const find = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = wanted.length ? entries.filter(({ all }) => wanted.every((word) => all.includes(word))) : [];
    list.replaceChildren(...found.slice(0, 12).map(shown));
    if (wanted.length && (!found.length || found.length > 12)) {
      const rest = document.createElement("li");
      rest.textContent = found.length ? `${found.length - 12} more.` : "Nothing found.";
      list.append(rest);
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
