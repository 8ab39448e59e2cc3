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
      rooms.observe(table.parentElement);
      fit(table);
    }
  };
  meet();
  narrow.addEventListener("change", () => document.querySelectorAll(".bd-article table").forEach(fit));
  const article = document.querySelector(".bd-article");
  if (article) new MutationObserver(meet).observe(article, { childList: true, subtree: true });
})();
