(() => {
  // A click on a heading sorts; the second the other way round, the third as it was. What has no number is last.
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/[,\s]/g, "").replace("−", "-").split("±")[0]);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b, sign) => {
    const numbers = [a, b].map((one) => typeof one === "number");
    if (numbers[0] && numbers[1]) return sign * (a - b);
    return numbers[0] === numbers[1] ? sign * a.localeCompare(b, undefined, { numeric: true }) : numbers[1] - numbers[0];
  };
  // A table that goes on to the right says so at its edge.
  const edges = [...document.querySelectorAll(".scroll")];
  const mark = (box) => box.classList.toggle("cut", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => mark(target)));
  edges.forEach((box) => { sizes.observe(box); box.addEventListener("scroll", () => mark(box), { passive: true }); });

  document.querySelectorAll(".table-block table").forEach((table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    if (rows.length < 3) return;
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      button.title = "Sort by this column";
      heading.append(button);
      button.addEventListener("click", () => {
        const orders = heading.classList.contains("number") ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
        const order = orders[(orders.indexOf(heading.getAttribute("aria-sort") ?? "none") + 1) % 3];
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        const sorted = [...rows];
        if (order !== "none") {
          heading.setAttribute("aria-sort", order);
          sorted.sort((a, b) => compare(value(a, column), value(b, column), order === "ascending" ? 1 : -1));
        }
        body.append(...sorted);
      });
    });
  });
})();
