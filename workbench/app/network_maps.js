// Maps as cards, the hindmost first; pointing at a place shows what it sees on every layer below and on the input.

function buildMaps(view) {
  const { header, svg } = view;
  view.items = [];
  for (const [l, m, x, low, width, height] of header.cards) {
    const layer = header.layers[l], y = header.tall - low - height;
    const said = l === 0 ? layer.name : `${layer.name}, map ${layer.shown[m]}; arrows move, Enter chooses`;
    const group = node("g", { class: "card", role: l ? "button" : "img", tabindex: l && m === 0 ? -1 : null, "aria-label": said }, svg);
    const picture = layer.maps[m];
    node("image", { x, y, width, height, preserveAspectRatio: "none", href: painted(view, picture, false).toDataURL() }, group);
    node("rect", { class: "edge", x, y, width, height }, group);
    view.items.push({ group, layer, l, m, x, y, width, height, columns: picture.columns, rows: picture.rows, cell: null });
  }
  view.fronts = header.layers.map((_, l) => view.items.find((one) => one.l === l && (l === 0 || one.m === 0)));
  header.layers.forEach((layer, l) => captions(view, layer, l));
  view.held = node("g", { class: "held" }, svg);
  view.own = node("g", {}, svg);
}

function captions(view, layer, l) {
  const cards = view.items.filter((one) => one.l === l);
  const left = Math.min(...cards.map((c) => c.x)), right = Math.max(...cards.map((c) => c.x + c.width));
  const top = Math.min(...cards.map((c) => c.y)), bottom = Math.max(...cards.map((c) => c.y + c.height));
  const facts = { x: (left + right) / 2, "text-anchor": "middle" };
  node("text", { ...facts, y: top, dy: "-0.9em", class: "heading" }, view.svg, layer.above);
  const lines = layer.beneath.split(", ");
  lines.forEach((line, i) => node("text", { ...facts, y: bottom, dy: `${1.2 + 1.3 * i}em`, class: "small" }, view.svg, line));
  (layer.kernels ?? []).forEach((kernel, i, all) => {
    const side = 3.6, x = facts.x + (i - all.length / 2) * (side + 0.5) + 0.25;
    const height = (side * kernel.rows) / Math.max(kernel.rows, kernel.columns);
    const drop = (1.2 + 1.3 * lines.length) * 11.5;
    const image = node("image", { x, width: side, height, y: bottom, preserveAspectRatio: "none", href: painted(view, kernel, true).toDataURL() }, view.svg);
    image.style.imageRendering = "pixelated";
    image.style.transform = `translateY(calc(var(--px) * ${drop}px))`;
  });
}

// Cells count from the upper left corner of the drawn map; positions as the array has them.
function positionOf(view, item, [column, row]) {
  return view.header.flat ? [column, row] : [item.columns - 1 - column, item.rows - 1 - row];
}

function cellUnder(view, item, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(view.svg.getScreenCTM().inverse());
  const column = Math.floor(((at.x - item.x) / item.width) * item.columns), row = Math.floor(((at.y - item.y) / item.height) * item.rows);
  return [Math.max(0, Math.min(item.columns - 1, column)), Math.max(0, Math.min(item.rows - 1, row))];
}

// What a position of one layer sees on a layer below it: first and last index + 1 along both axes, cut at the edge.
function fieldOn(view, from, at, to) {
  const own = view.header.layers[from], below = view.header.layers[to];
  const card = view.fronts[to], shape = [card.columns, card.rows];
  return [0, 1].map((axis) => {
    const first = (own.first[axis] + at[axis] * own.jump[axis] - below.first[axis]) / below.jump[axis];
    const count = (own.size[axis] - below.size[axis]) / below.jump[axis] + 1;
    const low = Math.max(0, Math.min(shape[axis] - 1, Math.round(first)));
    return [low, Math.max(low + 1, Math.min(shape[axis], Math.round(first + count)))];
  });
}

function boxOn(view, card, [[x0, x1], [y0, y1]]) {
  const [a, b] = view.header.flat ? [x0, x1] : [card.columns - x1, card.columns - x0];
  const [c, d] = view.header.flat ? [y0, y1] : [card.rows - y1, card.rows - y0];
  const dx = card.width / card.columns, dy = card.height / card.rows;
  return { x: card.x + a * dx, y: card.y + c * dy, width: (b - a) * dx, height: (d - c) * dy };
}

function drawFields(view, parent, item, cell) {
  parent.replaceChildren();
  const at = positionOf(view, item, cell);
  let before = null;
  for (let l = 0; l <= item.l; l++) {
    const card = l === item.l ? item : view.fronts[l];
    const box = boxOn(view, card, fieldOn(view, item.l, at, l));
    if (before) {
      const ends = [[0, 0], [0, 1], [1, 0], [1, 1]].map(([i, j]) => `M${before.x + i * before.width} ${before.y + j * before.height}L${box.x + i * box.width} ${box.y + j * box.height}`);
      node("path", { class: "beam", d: ends.join(""), fill: "none" }, parent);
    }
    node("rect", { class: "halo", ...box }, parent);
    node("rect", { class: "seen", ...box }, parent);
    before = box;
  }
}

// Mark what a place sees and give what the tip says, with the piece of the input itself.
function pointMap(view, item) {
  const { header } = view;
  const at = positionOf(view, item, item.cell);
  drawFields(view, view.own, item, item.cell);
  const picture = item.layer.maps[item.m];
  const code = view.codes[picture.offset + item.cell[1] * picture.columns + item.cell[0]];
  const value = item.layer.low + ((code - 1) / 254) * (item.layer.high - item.layer.low);
  const where = item.layer.single ? `unit ${item.layer.shown[item.m]}` : `map ${item.layer.shown[item.m]} at ${at.join(", ")}`;
  const words = [item.layer.name + (item.l ? `, ${where}` : ` at ${at.join(", ")}`), `${item.l ? "activation" : "value"} ${code ? short(value) : "none"}`];
  if (item.l === 0) return { words };
  words.push(`sees ${item.layer.size.join(" × ")} of the input`);
  const [[x0, x1], [y0, y1]] = fieldOn(view, item.l, at, 0);
  const input = header.layers[0].maps[0];
  const [left, top] = header.flat ? [x0, y0] : [input.columns - x1, input.rows - y1];
  return { words, picture: input, crop: [left, top, x1 - x0, y1 - y0], pattern: "input" };
}

function itemOfChoice(view, [name, unit, ...at]) {
  const item = view.items.find((one) => one.l > 0 && one.layer.name === name && one.layer.shown[one.m] === unit);
  if (item && at.length) item.cell = positionOf(view, item, at);
  return item;
}
