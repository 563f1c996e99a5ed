// A drawing of a network that answers to the pointer and to keys; only a finished choice tells Python.

const views = new WeakMap();
const kept = new Map(); // key of a view → what was chosen, for when streamlit draws it anew

export default function mount(component) {
  const { data, parentElement, setStateValue } = component;
  let view = views.get(parentElement);
  if (!view) {
    view = create(parentElement);
    views.set(parentElement, view);
  }
  view.tell = (choice) => setStateValue("unit", choice);
  if (data && !sameBytes(view.bytes, data)) {
    view.bytes = data;
    unpack(view, data);
    build(view);
  }
  fit(view);
  return () => {
    view.watcher.disconnect();
    views.delete(parentElement);
  };
}

function create(root) {
  const pick = (name) => root.querySelector(name);
  const view = { root, box: pick(".view"), stage: pick(".stage"), svg: pick("svg"), tip: pick(".tip"), status: pick(".status"), items: [] };
  view.watcher = new ResizeObserver(() => fit(view));
  view.watcher.observe(view.stage);
  listen(view);
  return view;
}

function sameBytes(a, b) {
  return a !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function unpack(view, data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  view.header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  view.codes = bytes.subarray(4 + length);
}

function build(view) {
  const { header, svg } = view;
  view.dark = isDark(view.box);
  view.box.dataset.theme = view.dark ? "dark" : "light";
  view.table = rampTable(header.ramps[view.dark ? "dark" : "light"], header.stops);
  svg.replaceChildren();
  svg.setAttribute("aria-label", header.alt);
  view.frame = header.mode === "network" ? [-10, -6, 120, header.tall + 12] : [-1, -4, 102, header.tall + 4 + beneath(header)];
  svg.setAttribute("viewBox", view.frame.join(" "));
  (header.mode === "network" ? buildUnits : buildMaps)(view);
  const choice = kept.get(header.key) ?? header.chosen;
  view.chosen = choice ? found(view, choice) : undefined;
  markChosen(view);
  const first = view.chosen ?? view.items.find((one) => one.group.hasAttribute("tabindex"));
  first?.group.setAttribute("tabindex", 0);
  leave(view);
}

function beneath(header) {
  return header.layers.some((layer) => layer.kernels) ? 12 : 7.5;
}

function found(view, choice) {
  if (view.header.mode === "maps") return itemOfChoice(view, choice);
  return view.items.find((one) => one.choice[0] === choice[0] && one.choice[1] === choice[1]);
}

// As wide as the page and at most as high as allowed; letters keep their size on the screen.
function fit(view) {
  const width = view.stage.clientWidth;
  if (!view.header || !width) return;
  if (isDark(view.box) !== view.dark) build(view);
  const [, , across, down] = view.frame;
  const height = Math.min(view.header.height, (width * down) / across);
  view.svg.style.height = `${height}px`;
  view.svg.style.setProperty("--px", Math.min(Math.max(across / width, down / height), 0.17));
}

function listen(view) {
  const itemOf = (event) => view.items.find((one) => one.group === event.target.closest?.("g.unit, g.card"));
  view.svg.addEventListener("pointermove", (event) => {
    const item = itemOf(event);
    if (!item) return leave(view);
    if (view.header.mode === "maps") item.cell = cellUnder(view, item, event);
    point(view, item, event);
  });
  view.svg.addEventListener("pointerleave", () => leave(view));
  view.svg.addEventListener("click", (event) => {
    const item = itemOf(event);
    if (!item || (view.header.mode === "maps" && item.l === 0)) return;
    if (view.header.mode === "maps") item.cell = cellUnder(view, item, event);
    choose(view, item);
  });
  view.svg.addEventListener("focusin", (event) => {
    const item = itemOf(event);
    if (!item || !item.group.matches(":focus-visible")) return;
    item.cell ??= view.header.mode === "maps" ? [item.columns >> 1, item.rows >> 1] : null;
    point(view, item);
  });
  view.svg.addEventListener("focusout", () => leave(view));
  view.svg.addEventListener("keydown", (event) => keyed(view, itemOf(event), event));
}

function keyed(view, item, event) {
  if (!item) return;
  if (event.key === "Enter" || event.key === " ") choose(view, item);
  else if (event.key === "Escape") leave(view);
  else if (event.key.startsWith("Arrow")) walk(view, item, event);
  else return;
  event.preventDefault();
}

function walk(view, item, event) {
  if (view.header.mode === "network") return step(view, nextUnit(view, item, event.key));
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const [column, row] = [item.cell[0] + dx, item.cell[1] + dy];
  if (column >= 0 && row >= 0 && column < item.columns && row < item.rows && !event.shiftKey) {
    item.cell = [column, row];
    return point(view, item);
  }
  step(view, view.fronts[item.l + dx]); // past the edge, or with Shift: the neighbouring layer
}

function step(view, item) {
  if (!item || !item.group.hasAttribute("tabindex")) return;
  for (const one of view.items) if (one.group.hasAttribute("tabindex")) one.group.setAttribute("tabindex", -1);
  item.group.setAttribute("tabindex", 0);
  item.group.focus();
}

function point(view, item, event) {
  view.box.classList.add("pointed");
  const spot = `${view.items.indexOf(item)}:${item.cell}`;
  if (view.spot !== spot) {
    view.spot = spot;
    for (const one of view.items) one.group.classList.toggle("here", one === item);
    const told = view.header.mode === "maps" ? pointMap(view, item) : pointUnit(view, item);
    fillTip(view, told);
    if (!event) view.status.textContent = told.words.join(" · ");
  }
  moveTip(view, item, event);
}

function leave(view) {
  view.box.classList.remove("pointed");
  view.spot = null;
  view.tip.hidden = true;
  view.own?.replaceChildren();
  for (const one of view.items) one.group.classList.remove("here", "near");
  if (view.header) say(view);
}

function choose(view, item) {
  const maps = view.header.mode === "maps";
  const choice = maps ? [item.layer.name, item.layer.shown[item.m], ...positionOf(view, item, item.cell)] : item.choice;
  view.chosen = item;
  kept.set(view.header.key, choice);
  markChosen(view);
  say(view);
  view.tell(choice);
}

function markChosen(view) {
  for (const one of view.items) one.group.classList.toggle("chosen", one === view.chosen);
  if (view.header.mode === "maps" && view.chosen?.cell) drawFields(view, view.held, view.chosen, view.chosen.cell);
}

// One line beneath: the choice and the key to the colours.
function say(view) {
  const { header, chosen, status } = view;
  const key = header.mode === "network"
    ? '<i style="color:var(--positive)">━</i> positive <i style="color:var(--negative)">━</i> negative weight; wider: larger. '
    : header.flat ? "" : "Axial slices, patient’s right on the left. ";
  const hint = header.mode === "network" ? "Point at a unit for its links and pattern; click to choose it." : "Point at a map to see what that unit sees; click to choose it.";
  const unit = chosen && (header.mode === "maps" ? `${chosen.layer.name}, ${chosen.layer.single ? "unit" : "map"} ${chosen.layer.shown[chosen.m]}${chosen.layer.single ? "" : ` at ${positionOf(view, chosen, chosen.cell).join(", ")}`}` : `${chosen.layer.heading}, unit ${chosen.choice[1]}`);
  status.innerHTML = key + (unit ? `Chosen: <b>${escape(unit)}</b>` : hint);
}

function fillTip(view, { words, picture, pattern, crop }) {
  const canvas = view.tip.querySelector("canvas");
  view.tip.querySelector(".words").innerHTML = words.map((word, i) => (i ? `<span>${escape(word)}</span>` : `<b>${escape(word)}</b>`)).join("");
  canvas.hidden = !picture;
  view.tip.classList.toggle("above", pattern === "planes");
  if (!picture) return;
  const [left, top, columns, rows] = crop ?? [0, 0, picture.columns, picture.rows];
  const source = pattern === "vector" ? bars(view, picture) : painted(view, picture, pattern !== "input");
  const [w, h] = pattern === "vector" ? [source.width, source.height] : [columns, rows];
  const zoom = pattern === "vector" ? 1 : Math.max(1, Math.min(12, Math.floor(Math.min((pattern === "planes" ? 230 : 150) / w, 160 / h))));
  canvas.width = w * zoom;
  canvas.height = h * zoom;
  canvas.style.width = `${w * zoom}px`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(source, pattern === "vector" ? 0 : left, pattern === "vector" ? 0 : top, w, h, 0, 0, w * zoom, h * zoom);
}

// Beside the pointer, or beside the unit that has the focus; never past the edge.
function moveTip(view, item, event) {
  const { tip, stage } = view;
  tip.hidden = false;
  const frame = stage.getBoundingClientRect(), at = item.group.getBoundingClientRect();
  const x = (event ? event.clientX : at.right) - frame.left + 18, y = (event ? event.clientY : at.top + at.height / 2) - frame.top;
  const left = x + tip.offsetWidth > frame.width ? x - tip.offsetWidth - 36 : x;
  const wanted = view.header.mode === "maps" ? y + 26 : y - tip.offsetHeight / 2; // below a map's beams
  const top = Math.max(0, Math.min(frame.height - tip.offsetHeight, wanted));
  tip.style.transform = `translate(${Math.max(0, Math.round(left))}px, ${Math.round(top)}px)`;
}

function rampTable(colors, stops) {
  const rgb = colors.map((color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, code) => {
    const share = Math.max(0, Math.min(1, (code - 1) / 254));
    const i = Math.min(stops.findLastIndex((stop) => stop <= share), stops.length - 2);
    const t = (share - stops[i]) / (stops[i + 1] - stops[i]);
    return rgb[i].map((value, c) => value + (rgb[i + 1][c] - value) * t);
  });
}

// A block of codes as a canvas of its own size: signed in two colours, or from black to white.
function painted(view, block, signed) {
  const canvas = document.createElement("canvas");
  canvas.width = block.columns;
  canvas.height = block.rows;
  const context = canvas.getContext("2d"), image = context.createImageData(block.columns, block.rows);
  for (let i = 0; i < block.columns * block.rows; i++) {
    const code = view.codes[block.offset + i];
    image.data.set(signed ? view.table[code] : [code - 1, code - 1, code - 1], i * 4);
    image.data[i * 4 + 3] = code ? 255 : 0;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// A vector as bars about zero.
function bars(view, block) {
  const canvas = document.createElement("canvas");
  const ratio = Math.min(window.devicePixelRatio || 1, 3), width = 150, height = 80;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d"), style = getComputedStyle(view.box), each = canvas.width / block.columns;
  for (let i = 0; i < block.columns; i++) {
    const share = (view.codes[block.offset + i] - 128) / 127;
    context.fillStyle = style.getPropertyValue(share >= 0 ? "--positive" : "--negative");
    context.fillRect(i * each, (canvas.height / 2) * (1 - Math.max(share, 0)), Math.max(1, each * 0.85), (Math.abs(share) * canvas.height) / 2);
  }
  context.fillStyle = style.color;
  context.fillRect(0, canvas.height / 2, canvas.width, 1);
  return canvas;
}

function isDark(element) {
  const paper = getComputedStyle(element).getPropertyValue("--st-background-color").trim() || "#ffffff";
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = paper;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return 0.3 * r + 0.6 * g + 0.1 * b < 110;
}

function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "none";
}

function escape(words) {
  const made = document.createElement("i");
  made.textContent = words;
  return made.innerHTML;
}
