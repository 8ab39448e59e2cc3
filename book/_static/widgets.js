// What the two instruments of the page "Explorer" share: elements, numbers for readers, drawings, and the state in the
// address. No library and no request.
const widgets = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function filled(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }
  const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
  const shape = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

  // A label above its control.
  const labelled = (text, control) => element("label", {}, element("span", {}, text), control);
  const choice = (name, options) =>
    element("select", { name }, ...options.map(([value, text]) => element("option", { value }, text)));

  // A table below its title, in a box that scrolls sideways and takes the focus, so that the keyboard reaches all of
  // it. `lines` are {cells, marked}; the first cell of a line is its header.
  function table(title, columns, lines) {
    const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)));
    const body = lines.map(({ cells, marked }) =>
      element("tr", { class: marked ? "marked" : null }, element("th", { scope: "row" }, cells[0]),
        ...cells.slice(1).map((cell) => element("td", {}, cell))));
    const made = element("table", { class: "table", "aria-label": title }, element("thead", {}, head),
      element("tbody", {}, ...body));
    return element("div", {}, element("p", { class: "explorer-title" }, title),
      element("div", { class: "explorer-scroll", tabindex: 0, role: "region", "aria-label": title }, made));
  }

  // Four digits; very small and very large numbers as powers of ten.
  function digits(value) {
    const size = Math.abs(value);
    const text = size && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
    return text.replaceAll("-", "−").replace("e+", "e");
  }
  const signed = (value) => value.toFixed(2).replace("-", "−");
  // A score: three decimals, fewer from 100 upwards; with its interval where there is one.
  function score(value, low = null, high = null) {
    const one = (part) => (part >= 1e6 ? part.toExponential(2).replace("e+", "e") : part.toFixed(part >= 100 ? 1 : 3));
    return low === null || high === null ? one(value) : `${one(value)} [${one(low)},\u00a0${one(high)}]`;
  }
  const percent = (part) => (part === null ? "no share" : `${(100 * part).toFixed(1)}\u00a0%`);
  // The name of a set of blocks in the data: `1+4`.
  const set_name = (blocks) => [...blocks].sort((a, b) => a - b).join("+");
  // `1, 3–5` for readers.
  function listed(blocks) {
    const ends = [];
    for (const block of [...blocks].sort((a, b) => a - b)) {
      if (ends.length && ends.at(-1)[1] === block - 1) ends.at(-1)[1] = block;
      else ends.push([block, block]);
    }
    return ends.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ") || "none";
  }
  const named = (blocks) => `block${[...blocks].length === 1 ? "" : "s"} ${listed(blocks)}`;

  // The state of both instruments is the query of the address, so that a view can be cited. An address without a query
  // stays as it is until a control is moved.
  const address = new URLSearchParams(window.location.search);
  function remember(changes, moved) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === "") address.delete(name);
      else address.set(name, value);
    }
    const query = address.toString(), { pathname, hash } = window.location;
    try {
      if (moved) window.history.replaceState(null, "", `${pathname}${query && `?${query}`}${hash}`);
    } catch {
      // Some browsers forbid it for pages on a disk. The link to the view still has the state.
    }
    for (const link of document.querySelectorAll("a.explorer-link")) {
      link.href = `?${query}#${link.closest(".explorer").id}`;
    }
  }
  const link = () => element("a", { class: "explorer-link", href: "?" }, "Link to this view");

  // Draws now, and again whenever the width of the box changes. `draw` takes a width in pixels and returns an SVG.
  function drawn(box, draw) {
    let width = 0;
    const again = (always) => {
      const now = Math.max(280, Math.floor(box.clientWidth));
      if (!always && now === width) return;
      width = now;
      box.replaceChildren(draw(width));
    };
    new ResizeObserver(() => again(false)).observe(box);
    return () => again(true);
  }

  return {
    element, shape, labelled, choice, table, digits, signed, score, percent, set_name, listed, named, address, remember,
    link, drawn,
  };
})();
