// "Remove blocks yourself": every proper set of blocks of one small model was measured once; buttons choose a set, and
// the page compares it with the sets of the same size that methods choose, and with all others.
(() => {
  const { element, shape, table, score, percent, set_name, listed, named, address } = widgets;
  const root = document.getElementById("remove-blocks");
  const data = explorer_data.subsets[0];
  if (!data) return;

  const blocks = Array.from({ length: data.layers }, (_, block) => block);
  const chosen = new Set((address.get("without") || "").split(",").filter(Boolean).map(Number)
    .filter((block) => blocks.includes(block)));
  if (chosen.size === blocks.length) chosen.clear();

  const buttons = blocks.map((block) => element("button", { type: "button", class: "explorer-block",
    onclick: () => press(block) }, `Block ${block}`));
  const said = element("div", { role: "status", "aria-live": "polite", class: "explorer-said" });
  const drawing = element("div", { class: "explorer-drawing" });
  const compared = element("div");
  root.replaceChildren(
    element("fieldset", {}, element("legend", {}, `Blocks of the ${data.model}; pressed means removed`),
      element("div", { class: "explorer-blocks" }, ...buttons)),
    said, drawing, element("p", {}, widgets.link()), compared,
  );

  function press(block) {
    if (chosen.delete(block)) return show();
    if (chosen.size + 1 === blocks.length) return show("At least one block has to stay.");
    chosen.add(block);
    return show();
  }

  // Above 0 where the first of two measured sets is better.
  const better = (one, other) => (one.value - other.value) * (data.higher_is_better ? 1 : -1);
  // All sets of a size, best first; equal values share a rank.
  const of_size = (size) => Object.entries(data.measured).map(([name, found]) => ({ name, ...found }))
    .filter(({ name }) => name.split("+").length === size).sort((a, b) => better(b, a));
  const blocks_of = ({ name }) => name.split("+").map(Number);
  const rank = (all, found) => 1 + all.filter((one) => better(one, found) > 0).length;

  // Who chose what: each with the sets of the current size that it takes.
  function choosers(size) {
    const set_of = ({ scores }) => set_name(avss.lowest(scores, size));
    const named = data.choosers.filter(({ method }) => method !== "random")
      .map((one) => ({ title: one.label, names: [set_of(one)] }));
    const random = data.choosers.filter(({ method }) => method === "random");
    return [{ title: "You", names: [set_name(chosen)] }, ...named,
      { title: `Random, ${random.length} seeds`, names: random.map(set_of) }];
  }

  function line(title, name, all) {
    const found = data.measured[name];
    return { marked: title === "You", cells: [title, `${rank(all, found)} of ${all.length}`,
      listed(blocks_of({ name })), score(found.value, found.low, found.high), percent(found.kept)] };
  }

  let view = null;
  function draw(width) {
    const { all, lines } = view;
    const rows = [{ title: "All sets", names: all.map(({ name }) => name) }, ...lines];
    const left = 120, row = 26, bottom = 36, height = rows.length * row + bottom;
    const values = Object.values(data.measured).map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values, data.whole.value)];
    const x = (value) => left + 8 + (width - left - 20) * (value - low) / (high - low);
    const made = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `The ${data.whole.metric} of the sets of this size and of those chosen; the table has the numbers.` });
    rows.forEach(({ title, names }, place) => {
      const y = place * row + row / 2;
      made.append(shape("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }),
        shape("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, title));
      for (const name of names) {
        made.append(shape("circle", { class: title === "You" ? "kept" : "removed", r: title === "You" ? 6 : 4.5,
          cx: x(data.measured[name].value), cy: y }));
      }
    });
    for (const value of [low, (low + high) / 2, high]) {
      made.append(shape("text", { x: x(value), y: height - 20, "text-anchor": value === high ? "end" : "middle" },
        value.toFixed(2)));
    }
    made.append(shape("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, data.whole.metric));
    return made;
  }
  const redraw = widgets.drawn(drawing, (width) => (view ? draw(width) : shape("svg")));

  function show(warning = "", moved = true) {
    buttons.forEach((button, block) => button.setAttribute("aria-pressed", chosen.has(block)));
    const whole = data.whole, first = warning ? [element("p", {}, warning)] : [];
    widgets.remember({ without: [...chosen].sort((a, b) => a - b).join(",") }, moved);
    drawing.hidden = compared.hidden = !chosen.size;
    if (!chosen.size) {
      said.replaceChildren(...first, element("p", {}, `With all ${blocks.length} blocks the ${whole.metric} is `
        + `${score(whole.value, whole.low, whole.high)} (n = ${whole.n}). Press a block to remove it.`));
      return;
    }
    const all = of_size(chosen.size), own = data.measured[set_name(chosen)], lines = choosers(chosen.size);
    const mean = all.reduce((total, { value }) => total + value, 0) / all.length;
    said.replaceChildren(...first, element("p", {}, element("strong", {}, `Without ${named(chosen)}: `),
      `${own.metric} ${score(own.value, own.low, own.high)} (n = ${own.n}, run ${own.run}), ${percent(own.kept)} of `
      + `${score(whole.value)} kept. Rank ${rank(all, own)} of the ${all.length} sets of ${chosen.size}. `
      + `A random set of this size has ${score(mean)} on average, the best (${listed(blocks_of(all[0]))}) `
      + `${score(all[0].value)}, the worst (${listed(blocks_of(all.at(-1)))}) ${score(all.at(-1).value)}.`));
    view = { all, lines };
    redraw();
    const rows = lines.flatMap(({ title, names }) =>
      names.map((name, seed) => line(names.length > 1 ? `Random, seed ${seed}` : title, name, all)));
    compared.replaceChildren(
      table(`Sets of ${chosen.size} of ${blocks.length} blocks: who removes which, and the ${own.metric} after it.`,
        ["chosen by", "rank", "removed", own.metric, "kept"], rows),
      element("details", {}, element("summary", {}, `All ${all.length} sets of this size`),
        table(`All sets of ${chosen.size} blocks, best first.`, ["rank", "blocks removed", "kept", own.metric],
          all.map((one) => ({ marked: one.name === set_name(chosen), cells: [`${rank(all, one)}`,
            listed(blocks_of(one)), percent(one.kept), score(one.value, one.low, one.high)] })))));
  }

  show("", false);
})();
