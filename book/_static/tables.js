// On a phone and on paper, a table that is wider than the page shows each row as a list of "column: value" (class `stacked`).
(() => {
  const narrow = matchMedia("print, (max-width: 600px)");
  const titles = (table) => [...(table.tHead?.rows[table.tHead.rows.length - 1]?.cells ?? [])].map((cell) => cell.textContent.trim());

  // Tables keep their meaning for screen readers only by role once their parts are no longer laid out as a table.
  const name = (table) => {
    const columns = titles(table);
    table.setAttribute("role", "table");
    for (const row of table.rows) {
      row.setAttribute("role", "row");
      [...row.cells].forEach((cell, column) => {
        const head = cell.tagName === "TH" ? (row.parentElement === table.tHead ? "columnheader" : "rowheader") : "cell";
        cell.setAttribute("role", head);
        if (row.parentElement !== table.tHead && columns[column]) cell.dataset.column = columns[column];
      });
    }
  };

  const fit = (table) => {
    table.classList.remove("stacked");
    if (!narrow.matches || table.offsetWidth <= table.parentElement.clientWidth + 1) return;
    name(table);
    table.classList.add("stacked");
  };

  // Each line has a place of its own; a link to it stands behind its first cell.
  const link = (table) => {
    for (const row of table.querySelectorAll(":scope > tbody > tr[id]")) {
      const place = document.createElement("a");
      place.className = "row-link";
      place.href = `#${row.id}`;
      place.title = "Link to this line";
      place.setAttribute("aria-label", `Link to the line ${row.cells[0].textContent.trim()}`);
      (row.cells[0].lastElementChild ?? row.cells[0]).append(place);
    }
  };

  // A folded table has no width before it is unfolded, and scripts draw tables later.
  const widths = new WeakMap();
  const rooms = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (widths.get(target) === target.clientWidth) continue;
      widths.set(target, target.clientWidth);
      target.querySelectorAll(":scope > table").forEach(fit);
    }
  });
  const met = new WeakSet();
  const meet = () => {
    for (const table of document.querySelectorAll(".bd-article table")) {
      if (met.has(table)) continue;
      met.add(table);
      link(table);
      rooms.observe(table.parentElement);
      fit(table);
    }
  };
  meet();
  narrow.addEventListener("change", () => document.querySelectorAll(".bd-article table").forEach(fit));
  const article = document.querySelector(".bd-article");
  if (article) new MutationObserver(meet).observe(article, { childList: true, subtree: true });
})();
