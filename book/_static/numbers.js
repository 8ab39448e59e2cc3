// A click on a number opens what stands behind it: interval, n, seeds, the lines of its run's table, and its citation.
// It works from disk and asks nothing of the network. The page's own facts are in `data-number` of each number.
(() => {
  const numbers = document.querySelectorAll("button.told-number");
  if (!numbers.length || !window.HTMLDialogElement) return;
  const root = document.documentElement.dataset.content_root ?? "";
  const cite = window.avssCitation ?? {};
  const make = (tag, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };
  // A line may end after a button, and the full stop would begin the next one.
  for (const number of numbers) {
    const after = number.nextSibling;
    const mark = after?.nodeType === Node.TEXT_NODE && after.data.match(/^[.,;:!?)\]]+/)?.[0];
    if (!mark) continue;
    const whole = make("span", { className: "told-with-mark" });
    number.replaceWith(whole);
    whole.append(number, mark);
    after.deleteData(0, mark.length);
  }

  const link = (path, text) => make("a", { href: root + path }, text);
  const dialog = make("dialog", { className: "number-facts" });
  dialog.setAttribute("aria-labelledby", "number-facts-title");
  document.body.append(dialog);

  const key = (facts) => "avss-" + facts.address.replace(/[^A-Za-z0-9]+/g, "-");
  const plain = (text) => text.replaceAll("\u00a0", " ").replaceAll("−", "-");
  const escaped = (text) => plain(text).replace(/([&%$#_])/g, "\\$1");
  const bibtex = (facts) => {
    const fields = {
      title: `{${escaped(`${facts.text}: ${facts.address}`)}}`,
      author: cite.author,
      year: cite.year,
      howpublished: escaped(`A number of ${cite.title}, version ${cite.version}`),
      note: escaped(facts.basis),
      url: cite.url,
    };
    const lines = Object.entries(fields).filter(([, text]) => text);
    return `@misc{${key(facts)},\n` + lines.map(([name, text]) => `  ${name.padEnd(12)} = {${text}}`).join(",\n") + "\n}";
  };
  const latex = (facts) => `${escaped(facts.text)}~\\cite{${key(facts)}} % ${plain(facts.basis)}`;

  const copying = (name, text, said) => {
    const button = make("button", { type: "button", className: "copies" }, name);
    button.addEventListener("click", () => {
      const area = make("textarea", { value: text });
      dialog.append(area);
      area.select();
      // The clipboard of the page itself is closed to pages that are opened from disk.
      const copied = document.execCommand("copy");
      area.remove();
      button.focus();
      said.textContent = copied ? `Copied as ${name.replace("Copy as ", "")}.` : "The browser does not allow copying.";
    });
    return button;
  };

  const lines = (facts) => {
    const rows = [];
    if (facts.paper) rows.push(["Printed in", `the paper, ${facts.paper}`]);
    else rows.push(["Basis", facts.basis]);
    if (facts.address) rows.push(["Address", make("code", {}, facts.address)]);
    const runs = (facts.runs ?? []).map((run) => {
      const file = `${run.folder}/${run.run}`;
      const where = run.lines.length ? `, line${run.lines.length > 1 ? "s" : ""} ${run.lines.join(", ")}` : "";
      return make("div", {}, link(`${file}.json`, run.run), " (", link(`${file}.csv`, "table"), where, ")");
    });
    if (runs.length > 3) rows.push(["Runs", make("details", {}, make("summary", {}, `${runs.length} runs`), ...runs)]);
    else if (runs.length) rows.push([runs.length > 1 ? "Runs" : "Run", make("div", {}, ...runs)]);
    if (facts.file) rows.push(["File", link(facts.file, facts.file)]);
    return make("dl", {}, ...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  };

  const show = (facts) => {
    const said = make("p", { className: "said" });
    said.setAttribute("role", "status");
    const close = make("button", { type: "button", className: "closes" }, "Close");
    close.addEventListener("click", () => dialog.close());
    const buttons = make("p", { className: "buttons" });
    if (facts.address) {
      buttons.append(
        copying("Copy as BibTeX", bibtex(facts), said), copying("Copy as LaTeX", latex(facts), said),
        copying("Copy as text", `${plain(facts.text)} (${plain(facts.basis)})`, said),
      );
    }
    buttons.append(close);
    const title = make("p", { id: "number-facts-title", className: "title" }, facts.text);
    dialog.replaceChildren(title, lines(facts), buttons, said);
    dialog.showModal();
  };
  for (const number of numbers) {
    number.setAttribute("aria-haspopup", "dialog");
    number.addEventListener("click", () => show(JSON.parse(number.dataset.number)));
  }
  // A click beside the box closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
})();
