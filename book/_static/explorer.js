// The explorer: choose a model, a reading and a selection rule; see Eqs. 1 to 9 of every block, the order, the removed
// set, and its measured score. Statistics are in explorer_data, equations in avss.
(() => {
  const { element, shape, labelled, choice, table, digits, score, percent, set_name, listed, named, address } = widgets;
  const root = document.getElementById("explore");
  if (!explorer_data.models.length) return;

  const SITES = {
    block_output: "output of the block (paper)",
    block_update: "update: output less input",
    attention_output: "output of the attention",
    mlp_output: "output of the MLP",
    mlp_hidden: "hidden layer of the MLP",
  };
  const TOKENS = { all: "all tokens (paper)", after_first: "all but the first of a document" };
  const EPSILONS = {
    "0.01": "0.01 (paper reading)", "0.00001": "0.00001 (authors' scripts)", "0.0001": "0.0001", "0.001": "0.001",
    "0.1": "0.1", "1": "1", "quantile:0.01": "1 % of all activations lie below", "quantile:0.1": "10 % lie below",
    "quantile:0.5": "50 % lie below", slider: "set by the slider",
  };
  const RULES = {
    lowest: "the k lowest (paper)", cumulative: "lowest, up to a share of the sum",
    released_code: "first in depth, up to a share (scripts)",
  };

  const models = explorer_data.models;
  const controls = {
    model: choice("model", models.map((model) => [model.row, `${model.model}, ${model.layers} blocks`])),
    site: choice("site", explorer_data.sites.map((site) => [site, SITES[site]])),
    tokens: choice("tokens", explorer_data.tokens.map((tokens) => [tokens, TOKENS[tokens]])),
    epsilon: choice("epsilon", Object.entries(EPSILONS)),
    slider: element("input", { type: "range", name: "slider", min: 0, step: 1 }),
    rule: choice("rule", Object.entries(RULES)),
    amount: element("input", { type: "number", name: "amount", min: 1, step: 1 }),
    mass: element("input", { type: "number", name: "mass", min: 0.05, max: 0.95, step: 0.05, value: 0.25 }),
  };
  const amount = labelled("Blocks to remove, k", controls.amount);
  const mass = labelled("Share of the summed score", controls.mass);
  const group = (name, ...parts) => element("fieldset", {}, element("legend", {}, name), ...parts);
  const slider = labelled("", controls.slider);
  const said = element("div", { role: "status", "aria-live": "polite", class: "explorer-said" });
  const details = element("div", { class: "explorer-said" });
  const drawing = element("div", { class: "explorer-drawing" });
  const numbers = element("div");
  const sets = element("details");
  root.replaceChildren(
    element("form", { onsubmit: (event) => event.preventDefault() },
      group("Activations", labelled("Model", controls.model), labelled("Site", controls.site),
        labelled("Tokens", controls.tokens)),
      group("Threshold ε", labelled("Near zero is below", controls.epsilon), slider),
      group("Removal", labelled("Rule", controls.rule), amount, mass)),
    said, details, drawing, element("p", {}, widgets.link()), numbers, sets,
  );

  const model = () => models.find((one) => one.row === controls.model.value);
  const kept = () => model().statistics[controls.site.value][controls.tokens.value];
  // All thresholds at which the shipped counts are exact, ascending.
  function thresholds() {
    const edges = kept().histogram[0].map((_, place) => avss.edge(explorer_data.first_bin + place + 1));
    return [...edges, ...explorer_data.epsilons].sort((a, b) => a - b);
  }
  const nearest = (values, wanted) =>
    values.reduce((best, value, place) =>
      Math.abs(Math.log(value / wanted)) < Math.abs(Math.log(values[best] / wanted)) ? place : best, 0);

  function restore() {
    const given = (name, fallback) => {
      const options = [...controls[name].options].map((option) => option.value);
      controls[name].value = options.includes(address.get(name)) ? address.get(name) : fallback;
    };
    given("model", models[0].row);
    given("site", "block_output");
    given("tokens", "all");
    given("rule", "lowest");
    const epsilon = address.get("epsilon") || "0.01";
    controls.epsilon.value = epsilon in EPSILONS ? epsilon : "slider";
    slide(controls.epsilon.value === "slider" && Number(epsilon) > 0 ? Number(epsilon) : 0.01);
    controls.mass.value = address.get("mass") || 0.25;
    controls.amount.value = address.get("amount") || usual_amount();
  }
  // As many as the row of the model removes, so that the first view is a measured one; else a quarter of the blocks.
  const usual_amount = () => model().remove ?? Math.max(1, Math.floor(model().layers / 4));

  function slide(epsilon) {
    const grid = thresholds();
    controls.slider.max = grid.length - 1;
    controls.slider.value = nearest(grid, epsilon);
    const chosen = grid[controls.slider.value];
    controls.slider.setAttribute("aria-valuetext", `ε = ${digits(chosen)}`);
    slider.firstChild.textContent = `Slide: ε = ${digits(chosen)}`;
    return chosen;
  }

  // The threshold as a number that was counted. The slider follows the list, and stays where it was moved.
  function threshold() {
    const named = controls.epsilon.value;
    if (named === "slider") return slide(Number(controls.slider.dataset.epsilon || 0.01));
    if (named.startsWith("quantile:")) {
      return slide(avss.magnitude_quantile(kept(), Number(named.slice(9)), explorer_data.first_bin));
    }
    return slide(Number(named));
  }

  function selected(values) {
    if (controls.rule.value === "lowest") return avss.lowest(values, Number(controls.amount.value));
    return avss[controls.rule.value](values, Number(controls.mass.value));
  }

  // The amounts as numbers within their bounds.
  function check() {
    const most = model().layers - 1;
    controls.amount.max = most;
    const whole = Math.round(Number(controls.amount.value)) || 1;
    controls.amount.value = Math.min(most, Math.max(1, whole));
    controls.mass.value = Math.min(0.95, Math.max(0.05, Number(controls.mass.value) || 0.25));
    amount.hidden = controls.rule.value !== "lowest";
    mass.hidden = !amount.hidden;
  }

  function outcome(removed) {
    const found = model().measured[set_name(removed)];
    if (!removed.length) return "The rule removes no block.";
    if (!found) return `Score without ${named(removed)}: not measured.`;
    return `Score without ${named(removed)}: ${found.metric} ${score(found.value, found.low, found.high)}, `
      + `${score(found.original)} with all blocks, ${percent(found.kept)} kept (n = ${found.n}, run ${found.run}).`;
  }

  // Where values stand between 0 (bottom) and 1, with the lines of the axis; by powers of ten where they differ by more
  // than one.
  function axis(values) {
    const most = Math.max(...values), least = Math.min(...values.filter((value) => value > 0));
    if (most < 10 * least) {
      const ticks = [0, most / 2, most].map((value) => [value, digits(Number(value.toPrecision(3)))]);
      return { scale: "linear", place: (value) => value / most, ticks };
    }
    const lowest = Math.floor(Math.log10(least)), every = Math.ceil(-lowest / 6), ticks = [];
    const power = (decade) => [...String(-decade)].reduce((text, one) => text + "⁰¹²³⁴⁵⁶⁷⁸⁹"[one], "10⁻");
    for (let decade = 0; decade >= lowest; decade -= every) ticks.push([10 ** decade, decade ? power(decade) : "1"]);
    return { scale: "logarithmic", place: (value) => 1 - Math.log10(Math.max(value, 10 ** lowest)) / lowest, ticks };
  }

  let view = null;
  function draw(width) {
    const { columns, removed } = view;
    const values = columns.normalized_avss, blocks = values.length;
    const left = 56, bottom = 34, height = 220, top = 10;
    const { place, ticks, scale } = axis(values);
    const step = (width - left) / blocks;
    const y = (value) => top + (height - top - bottom) * (1 - place(value));
    const made = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `Normalised AVSS of ${blocks} blocks on a ${scale} axis; the table below has the numbers. `
        + `Removed, drawn hollow: ${listed(removed)}.` });
    for (const [value, text] of ticks) {
      made.append(shape("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
        shape("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
    }
    const label_every = Math.ceil(20 / step);
    values.forEach((value, block) => {
      const middle = left + (block + 0.5) * step, tall = Math.max(2, height - bottom - y(value));
      made.append(shape("rect", { class: removed.includes(block) ? "removed" : "kept", x: middle - step * 0.35,
        width: step * 0.7, y: height - bottom - tall, height: tall }));
      if (block % label_every === 0) {
        made.append(shape("text", { x: middle, y: height - bottom + 15, "text-anchor": "middle" }, `${block}`));
      }
    });
    made.append(shape("text", { x: width / 2, y: height - 4, "text-anchor": "middle" },
      `normalised AVSS by block, ${scale}; hollow: removed`));
    return made;
  }
  const redraw = widgets.drawn(drawing, (width) => (view ? draw(width) : shape("svg")));

  function show(moved = true) {
    check();
    const epsilon = threshold();
    let columns;
    try {
      columns = avss.from_moments(kept(), epsilon, explorer_data.epsilons, explorer_data.first_bin);
    } catch (error) {
      said.replaceChildren(element("p", {}, error.message));
      return;
    }
    const removed = selected(columns.normalized_avss);
    const depth = avss.kendall_tau(columns.normalized_avss, columns.rank.map((_, block) => block));
    const order = avss.lowest(columns.normalized_avss, columns.rank.length).join(", ");
    view = { columns, removed };
    said.replaceChildren(element("p", {}, element("strong", {}, `Removed: ${listed(removed)}. `), outcome(removed)));
    details.replaceChildren(
      element("p", {}, `Order, least important first: ${order}. Kendall's τ of the score with depth: `
        + `${widgets.signed(depth)}.`),
      ...(columns.empty.length ? [element("p", {}, `No activation of ${named(columns.empty)} lies below ε. `
        + "S counts as 1/N there, so the score is a lower bound.")] : []),
    );
    redraw();
    tabulate(columns, removed);
    widgets.remember({
      model: controls.model.value, site: controls.site.value, tokens: controls.tokens.value,
      epsilon: controls.epsilon.value === "slider" ? String(epsilon) : controls.epsilon.value,
      rule: controls.rule.value,
      amount: amount.hidden ? "" : controls.amount.value, mass: mass.hidden ? "" : controls.mass.value,
    }, moved);
  }

  function tabulate(columns, removed) {
    const shown = [["AVSS share, Eq. 8", "normalized_avss"], ["AVSS, Eq. 7", "avss"], ["variance, Eq. 1", "variance"],
      ["sparsity, Eq. 4", "sparsity"], ["deviation, Eq. 2", "std"], ["variance share, Eq. 3", "normalized_variance"],
      ["sparsity share, Eq. 5", "normalized_sparsity"], ["|S − share|, Eq. 6", "sparsity_deviation"],
      ["running sum, Eq. 9", "cumulative_avss"], ["mean", "mean"]];
    const lines = columns.rank.map((place, block) => ({
      marked: removed.includes(block),
      cells: [`${block}`, removed.includes(block) ? "removed" : "kept", `${place}`,
        ...shown.map(([, name]) => digits(columns[name][block]))],
    }));
    const one = model();
    numbers.replaceChildren(table(
      `Eqs. 1 to 9 of every block. ${one.model}, ${one.documents} calibration documents of ${one.dataset}, `
        + `${one.tokens} tokens, ${SITES[controls.site.value]}, ${TOKENS[controls.tokens.value]}.`,
      ["block", "removal", "rank (1: highest)", ...shown.map(([title]) => title)], lines));
    const measured = Object.entries(one.measured).sort((a, b) => (b[1].kept ?? 0) - (a[1].kept ?? 0));
    const open = sets.open;
    sets.replaceChildren(
      element("summary", {}, `The ${measured.length} sets of blocks whose score is measured in this model`),
      table(`Measured sets of ${one.model}, best first.`, ["blocks removed", "kept", "score", "original", "n", "run"],
        measured.map(([name, found]) => ({
          marked: name === set_name(removed),
          cells: [listed(name.split("+").map(Number)), percent(found.kept),
            `${found.metric} ${score(found.value, found.low, found.high)}`, score(found.original), `${found.n}`,
            found.run],
        }))));
    sets.hidden = !measured.length;
    sets.open = open;
  }

  for (const [name, control] of Object.entries(controls)) {
    if (name === "slider") {
      control.addEventListener("input", () => {
        controls.epsilon.value = "slider";
        control.dataset.epsilon = thresholds()[control.value];
        show();
      });
    } else {
      control.addEventListener("change", () => {
        if (name === "model") controls.amount.value = usual_amount();
        if (name === "epsilon") controls.slider.dataset.epsilon = thresholds()[controls.slider.value];
        show();
      });
    }
  }
  restore();
  controls.slider.dataset.epsilon = thresholds()[controls.slider.value];
  show(false);
})();
