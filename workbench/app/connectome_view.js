// One network as matrix, brain and list. All pointing, searching and turning happens here; only a selection tells Python.

const views = new WeakMap();
const KEY_PX = 22;
const kept = new Map(); // key of a view → what the user had set, for when streamlit draws it anew

export default function mount(component) {
  const { data, parentElement, setStateValue } = component;
  let view = views.get(parentElement);
  if (!view) {
    view = create(parentElement);
    views.set(parentElement, view);
  }
  view.tell = (selection) => setStateValue("selection", selection);
  if (data) unpack(view, data instanceof Uint8Array ? data : new Uint8Array(data));
  fit(view);
  return () => {
    view.watcher.disconnect();
    views.delete(parentElement);
  };
}

function create(root) {
  const pick = (name) => root.querySelector(name);
  const view = {
    root, box: pick(".connectome"), panes: pick(".panes"), matrix: pick("canvas.matrix"), brain: pick("canvas.brain"), rows: pick(".rows"), side: pick(".side"),
    search: pick(".search"), detail: pick(".detail"), tip: pick(".tip"), status: pick(".status"), slider: pick(".threshold"), output: pick("output"),
    selection: { regions: [], edge: null }, hover: null, turn: [...VIEWS.o], zoom: 1, by: "density", items: new Map(),
  };
  view.watcher = new ResizeObserver(() => fit(view));
  view.watcher.observe(view.box);
  listenMatrix(view);
  listenBrain(view);
  listenList(view);
  listenBar(view);
  return view;
}

function unpack(view, bytes) {
  const words = new DataView(bytes.buffer, bytes.byteOffset, 8), length = words.getUint32(0, true), check = words.getUint32(4, true);
  if (view.check === check) return;
  view.check = check;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const body = bytes.slice(8 + length).buffer;
  const block = (name, type) => new type(body, header.blocks[name].offset, header.blocks[name].length);
  Object.assign(view, { header, values: block("values", Float32Array), places: block("places", Float32Array), faces: block("faces", Uint16Array) });
  view.vertices = Float32Array.from(block("vertices", Int16Array), (v) => v / 10);
  view.normals = vertexNormals(view.vertices, view.faces);
  const n = header.names.length, size = view.values.length;
  [view.first, view.second] = [new Uint16Array(size), new Uint16Array(size)];
  for (let i = 1, k = 0; i < n; i++) for (let j = 0; j < i; j++, k++) [view.first[k], view.second[k]] = [i, j];
  rank(view);
  view.position = new Uint16Array(n);
  header.order.forEach((region, at) => { view.position[region] = at; });
  view.spans = header.networks.map((_, group) => ({ group, length: header.group.filter((g) => g === group).length }));
  view.byDepth = () => [...Array(n).keys()].filter((i) => !Number.isNaN(view.at[3 * i])).sort((a, b) => view.at[3 * a + 2] - view.at[3 * b + 2]);
  const old = kept.get(header.key);
  view.selection = old?.selection ?? header.selected ?? { regions: [], edge: null };
  if (Math.max(-1, ...view.selection.regions) >= n) view.selection = { regions: [], edge: null };
  if (old) [view.turn, view.zoom, view.by] = [old.turn, old.zoom, old.by];
  view.share = old?.share ?? Math.sqrt(header.density);
  [view.hover, view.cursor, view.dark] = [null, null, undefined];
}

// Edges from the strongest to the weakest; unknown ones last, never shown.
function rank(view) {
  const size = Float32Array.from(view.values, (v) => (Number.isNaN(v) ? -1 : Math.abs(v)));
  view.ranked = Uint32Array.from(size.keys()).sort((a, b) => size[b] - size[a]);
  view.nKnown = size.reduce((count, v) => count + (v > 0), 0);
  view.rankOf = new Uint32Array(size.length);
  view.ranked.forEach((k, at) => { view.rankOf[k] = at; });
}

function edgeIndex(i, j) {
  return i > j ? (i * (i - 1)) / 2 + j : (j * (j - 1)) / 2 + i;
}

// Read the theme's colors from the page; give true if they changed.
function readTheme(view) {
  const style = getComputedStyle(view.box), color = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const paper = rgbOf(color("--st-background-color", "#ffffff")), ink = rgbOf(color("--st-text-color", "#1f2733"));
  const dark = 0.3 * paper[0] + 0.6 * paper[1] + 0.1 * paper[2] < 110, theme = dark ? "dark" : "light";
  if (dark === view.dark) return false;
  view.dark = dark;
  view.box.dataset.theme = theme;
  view.font = color("--st-font", "sans-serif");
  const css = (share) => fade(cssOf(paper), cssOf(ink), share);
  view.colors = { paper: cssOf(paper), ink: cssOf(ink), muted: css(0.55), line: css(0.3), rim: dark ? css(0.1) : css(0.75), wash: css(0.04), mark: dark ? "#ff8a3d" : "#d55e00", signs: view.header.signs[theme] };
  view.networkColor = (group) => view.header.networks[group][theme];
  view.table = packed(rampTable(view.header.ramps[theme], view.header.stops));
  const [low, high] = dark ? [0.03, 0.27] : [0.2, 0.03];
  view.skinTable = packed(Array.from({ length: 256 }, (_, i) => paper.map((p, c) => p + (ink[c] - p) * (low + ((high - low) * i) / 255))));
  return true;
}

function fit(view) {
  const width = view.box.clientWidth;
  if (!view.header || !width) return;
  view.box.dataset.size = width < 560 ? "narrow" : width < 900 ? "middle" : "wide";
  if (readTheme(view)) {
    fillKey(view);
    buildList(view);
    applyThreshold(view);
    markList(view);
    fillDetail(view);
    scrollToChosen(view);
  }
  view.matrix.style.maxWidth = `${view.header.height}px`;
  view.paneHeight = Math.round(Math.min(view.header.height, view.matrix.clientWidth)) + KEY_PX;
  view.brain.style.height = `${view.paneHeight}px`;
  view.side.style.height = `${view.paneHeight}px`;
  view.stale = true;
  draw(view);
}

// The colors of the matrix and what their ends mean.
function fillKey(view) {
  const { header, root, dark } = view, [low, high] = root.querySelectorAll(".key span");
  const stops = header.ramps[dark ? "dark" : "light"].map((color, i) => `${color} ${100 * header.stops[i]}%`);
  root.querySelector(".key i").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  low.textContent = `−${header.limit.toFixed(2)}`;
  high.textContent = `${header.limit.toFixed(2)} ${header.quantity}`;
}

// How many edges the slider lets through, and what follows from that.
function applyThreshold(view) {
  const { values, ranked, header } = view;
  const largest = view.nKnown ? Math.abs(values[ranked[0]]) : 1;
  if (view.by === "density") view.nShown = Math.min(view.nKnown, Math.round(view.share ** 2 * values.length));
  else {
    let [low, high] = [0, view.nKnown]; // how many are at least as large as the slider says
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Math.abs(values[ranked[middle]]) >= view.share * largest) low = middle + 1;
      else high = middle;
    }
    view.nShown = low;
  }
  view.drawn = ranked.subarray(0, Math.min(view.nShown, MOST_DRAWN));
  view.strength = new Float64Array(header.names.length);
  for (const k of ranked.subarray(0, view.nShown)) {
    view.strength[view.first[k]] += Math.abs(values[k]);
    view.strength[view.second[k]] += Math.abs(values[k]);
  }
  view.strongest = Math.max(...view.strength);
  paintCells(view);
  fillStrengths(view);
  view.slider.value = Math.round(view.share * 1000);
  const smallest = view.nShown ? Math.abs(values[ranked[view.nShown - 1]]) : largest;
  const percent = (100 * view.nShown) / Math.max(values.length, 1);
  const cut = view.nShown > MOST_DRAWN ? `, the strongest ${MOST_DRAWN.toLocaleString("en")} in the brain` : "";
  view.output.textContent = `${percent.toFixed(percent < 10 ? 1 : 0)} % · |${header.quantity}| ≥ ${smallest.toFixed(2)} · ${view.nShown.toLocaleString("en")} connections${cut}`;
  view.slider.setAttribute("aria-valuetext", view.output.textContent);
  for (const button of view.root.querySelectorAll(".by")) button.setAttribute("aria-pressed", button.dataset.by === view.by);
  view.stale = true;
}

function draw(view) {
  if (view.waiting) return;
  view.waiting = requestAnimationFrame(() => {
    view.waiting = null;
    if (!view.header || !view.brain.clientWidth) return;
    if (view.stale) paintBrain(view);
    view.stale = false;
    drawMatrix(view);
    drawBrain(view);
    const { header, turn, zoom, by, share, selection } = view;
    kept.set(header.key, { turn, zoom, by, share, selection });
    view.matrix.setAttribute("aria-label", `Matrix of ${header.names.length} regions. Arrows move, Enter selects, Escape clears.`);
    view.brain.setAttribute("aria-label", "Brain. Arrows turn, plus and minus zoom, l r a p s i look from a side. Regions are in the list.");
    view.box.dataset.selection = JSON.stringify(selection);
  });
}

function pointAt(view, what, event) {
  if (JSON.stringify(what) !== JSON.stringify(view.hover)) {
    view.hover = what;
    hoverList(view);
    draw(view);
  }
  view.tip.hidden = !what || !event;
  if (!what || !event) return;
  const [head, ...rest] = told(view, what);
  view.tip.innerHTML = `<b>${escape(head)}</b>${rest.map((word) => `<span>${escape(word)}</span>`).join("")}`;
  const frame = view.panes.getBoundingClientRect(), x = event.clientX - frame.left + 14, y = event.clientY - frame.top + 14;
  const left = x + view.tip.offsetWidth > frame.width ? x - view.tip.offsetWidth - 28 : x;
  view.tip.style.transform = `translate(${Math.max(0, Math.round(left))}px, ${Math.round(Math.min(y, frame.height - view.tip.offsetHeight))}px)`;
}

function told(view, what) {
  const { header } = view, network = (region) => header.networks[header.group[region]].name;
  if (what.network !== undefined) return [header.networks[what.network].name, `${view.spans[what.network].length} regions`];
  if (what.region !== undefined) return [header.names[what.region], network(what.region), `strength ${short(view.strength[what.region])}`];
  const [i, j] = what.edge;
  return [`${header.names[i]} – ${header.names[j]}`, `${header.quantity} ${short(view.values[edgeIndex(i, j)])}`, [...new Set([network(i), network(j)])].join(" – ")];
}

// Select; with Ctrl, Cmd or Shift a region joins or leaves those that are selected.
function choose(view, what, event) {
  const add = event.ctrlKey || event.metaKey || event.shiftKey, old = view.selection.edge ? [] : view.selection.regions;
  let regions = [], edge = null;
  if (what?.edge) [regions, edge] = [what.edge, [Math.max(...what.edge), Math.min(...what.edge)]];
  else if (what?.network !== undefined) regions = view.header.order.filter((i) => view.header.group[i] === what.network);
  else if (what?.region !== undefined) regions = !add ? [what.region] : old.includes(what.region) ? old.filter((i) => i !== what.region) : [...old, what.region];
  const before = JSON.stringify(view.selection);
  view.selection = { regions: edge ? [...edge] : regions, edge };
  view.tip.hidden = true;
  markList(view);
  scrollToChosen(view);
  fillDetail(view);
  view.status.textContent = view.detail.querySelector(".facts").textContent;
  draw(view);
  if (JSON.stringify(view.selection) !== before) setTimeout(() => view.tell(view.selection)); // the picture first
}

function listenBar(view) {
  view.slider.addEventListener("input", () => {
    view.share = view.slider.value / 1000;
    applyThreshold(view);
    draw(view);
  });
  view.slider.addEventListener("change", () => fillDetail(view));
  for (const button of view.root.querySelectorAll(".by")) {
    button.addEventListener("click", () => {
      const smallest = view.nShown ? Math.abs(view.values[view.ranked[view.nShown - 1]]) / Math.abs(view.values[view.ranked[0]]) : 1;
      view.share = button.dataset.by === "value" ? smallest : Math.sqrt(view.nShown / view.values.length); // the same edges stay
      view.by = button.dataset.by;
      applyThreshold(view);
      draw(view);
    });
  }
  for (const button of view.root.querySelectorAll("[data-view]")) button.addEventListener("click", () => look(view, button.dataset.view));
  view.root.querySelector(".clear").addEventListener("click", () => choose(view, null, {}));
  view.box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.target === view.search) return;
    pointAt(view, null);
    choose(view, null, {});
  });
}

function sized(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2), [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  if (canvas.isConnected) canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

function rgbOf(color) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

function cssOf(rgb) {
  return `#${rgb.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
}

function fade(color, other, share) {
  const [a, b] = [color, other].map((one) => [1, 3, 5].map((i) => parseInt(one.slice(i, i + 2), 16)));
  return cssOf(a.map((v, c) => v + (b[c] - v) * share));
}

function packed(table) {
  return Uint32Array.from(table, ([r, g, b]) => ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0);
}

function rampTable(colors, stops) {
  const rgb = colors.map((color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, code) => {
    const share = code / 255, i = Math.min(stops.findLastIndex((stop) => stop <= share), stops.length - 2);
    const t = (share - stops[i]) / (stops[i + 1] - stops[i]);
    return rgb[i].map((value, c) => value + (rgb[i + 1][c] - value) * t);
  });
}

function short(value) {
  return Number.isFinite(value) ? value.toFixed(3).replace("-", "−") : "unknown";
}

function escape(words) {
  const made = document.createElement("i");
  made.textContent = words;
  return made.innerHTML;
}
