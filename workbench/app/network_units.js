// Units as circles or as the pictures they answer to, links by sign and size. Coordinates: as sent, y turned downwards.

const SVG = "http://www.w3.org/2000/svg";
const WIDTHS = [[0, 0.8, 0.45], [0.35, 1.5, 0.65], [0.7, 2.8, 0.9]];

function node(name, facts, parent, words) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(facts)) if (value !== null && value !== undefined) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  parent?.append(made);
  return made;
}

function buildUnits(view) {
  const { header, svg } = view;
  const top = header.tall;
  const washes = node("g", {}, svg), strong = node("g", {}, svg), own = node("g", {}, svg);
  const names = node("g", {}, svg), units = node("g", {}, svg);
  view.own = own;
  view.items = [];
  const byName = Object.fromEntries(header.layers.map((layer) => [layer.name, layer]));
  for (const link of header.links) {
    node("path", { class: "wash", d: allLinks(byName, link, header) }, washes);
    for (const [a, b] of link.strong) drawLink(strong, byName, link, a, b, header, weightOf(view, link, a, b), "strong");
    nameLink(names, byName, link, top);
  }
  header.layers.forEach((layer, l) => {
    nameLayer(names, layer, top);
    layer.shown.forEach((unit, i) => view.items.push(buildUnit(view, units, layer, l, unit, i)));
    if (layer.n_units > layer.shown.length) {
      const middle = Math.ceil(layer.x.length / 2);
      node("text", { class: "dots", x: (layer.x[middle - 1] + (layer.x[middle] ?? layer.x[middle - 1] + 8)) / 2, y: top - layer.y }, names, "···");
    }
  });
}

function allLinks(byName, link, header) {
  const { x: below, y: low } = byName[link.below], { x: above, y: high } = byName[link.above];
  const top = header.tall, rim = header.size / 2;
  return above.flatMap((a) => below.map((b) => `M${b} ${top - low - rim}L${a} ${top - high + rim}`)).join("");
}

// The weight between unit a above and unit b below, as a share of the largest, from -1 to 1.
function weightOf(view, link, a, b) {
  return (view.codes[link.offset + a * link.columns + b] - 128) / 127;
}

function drawLink(parent, byName, link, a, b, header, share, kind) {
  const size = Math.abs(share);
  const [, width, opacity] = WIDTHS.filter(([from]) => size >= from).at(-1);
  const rim = header.size / 2, top = header.tall;
  const low = [byName[link.below].x[b], top - byName[link.below].y - rim];
  const high = [byName[link.above].x[a], top - byName[link.above].y + rim];
  const sign = share >= 0 ? "plus" : "minus";
  const facts = { class: `link ${sign} ${kind}`, "stroke-width": width, "stroke-opacity": opacity };
  node("path", { ...facts, d: `M${low}L${high}` }, parent);
  if (size < WIDTHS[1][0]) return;
  if (link.directed === "up" || link.directed === "both") node("path", { ...facts, "stroke-width": 1.6, d: head(low, high) }, parent);
  if (link.directed === "down" || link.directed === "both") node("path", { ...facts, "stroke-width": 1.6, d: head(high, low) }, parent);
}

function head([x0, y0], [x1, y1], size = 1.1) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const u = ((x1 - x0) / length) * size, v = ((y1 - y0) / length) * size;
  return `M${x1 - u + v * 0.5} ${y1 - v - u * 0.5}L${x1} ${y1}L${x1 - u - v * 0.5} ${y1 - v + u * 0.5}`;
}

function nameLink(parent, byName, link, top) {
  const [x0, y0, side] = byName[link.below].label, [x1, y1] = byName[link.above].label;
  const left = side === "left";
  const x = left ? Math.min(x0, x1) - 3.5 : Math.max(x0, x1) + 3.5;
  const middle = top - (y0 + y1) / 2, low = [x, middle + 3.2], high = [x, middle - 3.2];
  let way = `M${low}L${high}`;
  if (link.directed === "up" || link.directed === "both") way += head(low, high, 1.5);
  if (link.directed === "down" || link.directed === "both") way += head(high, low, 1.5);
  node("path", { class: "way", d: way }, parent);
  node("text", { class: "weights", x: x + (left ? 1.2 : -1.2), y: middle, "text-anchor": left ? "start" : "end" }, parent, link.title);
}

function nameLayer(parent, layer, top) {
  const [x, y, side] = layer.label;
  const facts = { x, "text-anchor": side === "left" ? "end" : "start" };
  const letter = layer.heading.length < 7 ? " letter" : "";
  node("text", { ...facts, y: top - y, dy: "-0.55em", class: "heading" + letter }, parent, layer.heading);
  node("text", { ...facts, y: top - y, dy: "0.85em", class: "small" }, parent, `${layer.n_units.toLocaleString("en")} ${layer.units || "units"}`);
}

function buildUnit(view, parent, layer, l, unit, i) {
  const { size, tall } = view.header;
  const x = layer.x[i], y = tall - layer.y, active = layer.active?.[i];
  const said = `${layer.heading}, unit ${unit}` + (active === undefined ? "" : `, activation ${short(active)}`);
  const group = node("g", { class: "unit", role: "button", tabindex: -1, "aria-label": said, style: `--own:${layer.color}` }, parent);
  const picture = layer.pictures?.[i];
  if (picture && layer.pattern !== "vector") {
    const face = picture.face ?? picture, cell = (size * 0.94) / Math.max(face.rows, face.columns);
    const width = cell * face.columns, height = cell * face.rows;
    node("image", { x: x - width / 2, y: y - height / 2, width, height, preserveAspectRatio: "none", href: painted(view, face, true).toDataURL() }, group);
    node("rect", { class: "body", x: x - size / 2, y: y - size / 2, width: size, height: size, fill: "transparent" }, group);
  } else {
    const share = active === undefined ? 1 : 0.15 + 0.85 * Math.max(0, Math.min(1, active));
    node("circle", { cx: x, cy: y, r: size / 2, fill: "var(--st-background-color)" }, group);
    node("circle", { class: "body", cx: x, cy: y, r: size / 2, fill: layer.color, "fill-opacity": share }, group);
  }
  return { group, layer, l, i, x, y, choice: [layer.name, unit] };
}

// Show one unit's own links, dim the rest, and give what the tip says.
function pointUnit(view, item) {
  const { header } = view;
  const byName = Object.fromEntries(header.layers.map((layer) => [layer.name, layer]));
  view.own.replaceChildren();
  const near = new Map();
  for (const link of header.links) {
    const upwards = link.below === item.layer.name;
    if (!upwards && link.above !== item.layer.name) continue;
    const n = upwards ? link.rows : link.columns;
    for (let other = 0; other < n; other++) {
      const [a, b] = upwards ? [other, item.i] : [item.i, other];
      const share = weightOf(view, link, a, b);
      if (Math.abs(share) < 0.04) continue;
      drawLink(view.own, byName, link, a, b, header, share, "");
      if (Math.abs(share) > 0.3) near.set(`${upwards ? link.above : link.below}:${other}`, share);
    }
  }
  for (const one of view.items) one.group.classList.toggle("near", near.has(`${one.layer.name}:${one.i}`));
  const words = [`${item.layer.heading}, unit ${item.choice[1]}`];
  if (item.layer.active) words.push(`activation ${short(item.layer.active[item.i])}`);
  const picture = item.layer.pictures?.[item.i];
  if (picture) words.push(`largest |weight| ${short(picture.largest)}`);
  if (picture && item.layer.pattern === "planes") words.push("middle slices: axial, coronal, sagittal");
  return { words, picture, pattern: item.layer.pattern };
}

// The next unit for an arrow key: along the layer, or the nearest on the next level.
function nextUnit(view, item, key) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (step) return view.items.filter((one) => one.l === item.l).find((one) => one.i === item.i + step);
  const way = { ArrowUp: -1, ArrowDown: 1 }[key];
  const rows = view.items.filter((one) => (one.y - item.y) * way > 0.1);
  return rows.sort((p, q) => Math.abs(p.y - item.y) - Math.abs(q.y - item.y) || Math.abs(p.x - item.x) - Math.abs(q.x - item.x))[0];
}
