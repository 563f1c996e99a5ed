// Three linked planes with a crosshair. Everything here happens in the browser; only a finished click tells Python.

const viewers = new WeakMap();
const kept = new Map(); // key of a viewer → what the user had set, for when streamlit draws it anew
const STORE = "review-workbench:";
const KEPT = [
  "mode", "amounts", "cross", "overlays", "smooth", "only", "frame", "zoom", "threshold", "hidden", "opacity", "voxel", "center", "level", "width", "preset",
];

export default function mount(component) {
  const { data, parentElement, setStateValue } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) {
    viewer = create(parentElement);
    viewers.set(parentElement, viewer);
  }
  viewer.tell = (voxel) => setStateValue("voxel", voxel);
  if (data && viewer.bytes !== data) {
    viewer.bytes = data;
    show(viewer, unpack(data));
  }
  draw(viewer);
  return () => {
    viewer.watcher.disconnect();
    clearInterval(viewer.timer);
    viewers.delete(parentElement);
  };
}

function create(root) {
  const viewer = {
    root, canvas: root.querySelector("canvas"), view: null, plane: "axial", pointers: new Map(), wheel: 0,
    remembered: recall("view") ?? {},
  };
  listen(viewer);
  viewer.watcher = new ResizeObserver(() => draw(viewer));
  viewer.watcher.observe(viewer.canvas);
  return viewer;
}

// Take over a new payload; what the user has set (opacity, zoom, hidden labels) stays while the image is the same.
function show(viewer, header) {
  const old = kept.get(header.key);
  const same = old?.digest === header.digest;
  header.layers.filter((layer) => layer.kind === "heat" && !layer.off && !header.second).slice(1).forEach((layer) => { layer.off = true; });
  const view = {
    header, tables: new Map(), cross: true, overlays: true, smooth: true, only: null, frame: 0, zoom: 1, threshold: firstThreshold(header), hidden: new Set(),
    opacity: header.opacity, radiological: true, noseLeft: true, ...viewer.remembered,
    mode: header.compare?.mode ?? null, amounts: startAmounts(header), phase: false, voxel: middle(header), center: header.shape.map((n) => (n - 1) / 2),
  };
  if (same) {
    for (const name of KEPT) view[name] = old.view[name];
    if (old.order === orderOf(header)) for (const layer of header.layers) Object.assign(layer, old.layers[layer.name]);
  }
  viewer.view = view;
  if (!same || header.stamp !== old.stamp) {
    viewer.told = null;
    if (header.voxel) view.voxel = clamp(header, header.voxel.map((v) => Math.floor(v / header.step)));
  }
  const stored = recall("window:" + header.digest);
  if (!same) applyWindow(view, stored ?? header.windows[0], stored ? "own" : "0");
  colorLayers(view);
  fillBar(viewer);
  beat(viewer);
}

function firstThreshold(header) {
  return header.layers.find((layer) => layer.start)?.start ?? 0;
}

function middle(header) {
  return header.shape.map((n) => Math.floor(n / 2));
}

function clamp(header, voxel) {
  return voxel.map((v, axis) => Math.max(0, Math.min(header.shape[axis] - 1, Math.round(v))));
}

function applyWindow(view, { level, width }, preset) {
  view.level = level;
  view.width = Math.max(width, 1e-9);
  view.preset = preset;
  const base = view.header.layers[0];
  if (base.kind === "gray") view.tables.set(base, grayTable(base, view.level, view.width));
  colorSecond(view);
}

function colorLayers(view) {
  const [base, ...overlays] = view.header.layers;
  if (base.kind === "gray") view.tables.set(base, grayTable(base, view.level, view.width));
  colorSecond(view);
  for (const layer of overlays) view.tables.set(layer, layer.kind === "labels" ? labelTable(layer, view.hidden) : heatTable(layer, view.threshold));
}

function draw(viewer) {
  if (!viewer.view || viewer.waiting) return;
  viewer.waiting = requestAnimationFrame(() => {
    viewer.waiting = null;
    const { canvas, view } = viewer;
    const width = canvas.clientWidth;
    if (!width) return;
    const height = heightFor(view, width);
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    canvas.style.height = height + "px";
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(context, width, height, view);
    say(viewer);
    keep(view);
  });
}

function keep(view) {
  const { header } = view;
  const layers = Object.fromEntries(header.layers.map(({ name, off, outline }) => [name, { off, outline }]));
  const chosen = Object.fromEntries(KEPT.map((name) => [name, view[name]]));
  kept.set(header.key, { digest: header.digest, stamp: header.stamp, view: chosen, layers, order: orderOf(header) });
}

function orderOf(header) {
  return header.layers.map((layer) => layer.name).join("|");
}

// As high as the planes need at this width, at most what the page allows.
function heightFor(view, width) {
  const most = view.header.height * (view.mode === "side" ? 1.5 : 1);
  const { fits } = layoutOf(view, width, most);
  return Math.round(Math.min(most, fits ?? most));
}

// One line: voxel, mm, and the value of every layer.
function say(viewer) {
  const { view, root } = viewer;
  const { header } = view;
  const voxel = view.voxel.map((v) => v * header.step);
  const mm = [0, 1, 2].map((r) => header.affine[r][0] * voxel[0] + header.affine[r][1] * voxel[1] + header.affine[r][2] * voxel[2] + header.affine[r][3]);
  const parts = [`voxel <b>${voxel.join(", ")}</b>`, `<b>${mm.map((x) => x.toFixed(1)).join(", ")}</b> mm`];
  if (header.n_frames > 1) parts.push(`time point ${header.frames[view.frame] + 1} of ${header.n_frames_full}`);
  const shown = header.layers.filter((one, i) => i === 0 || (header.second ? isShown(view, one) : !one.off));
  if (header.second) shown.splice(1, 0, header.second);
  for (const layer of shown) parts.push(`${escape(layer === header.layers[0] && header.second ? header.compare.names[0] : layer.name)} <b>${readOut(view, layer)}</b>`);
  if (header.field) parts.push(`moved by <b>${movedBy(view).toFixed(1)}</b> mm`);
  root.querySelector(".status").innerHTML = parts.map((part) => `<span>${part}</span>`).join("");
  viewer.canvas.setAttribute("aria-label", `${header.name}: three linked slices. Voxel ${voxel.join(", ")}. Press question mark for keys.`);
  viewer.canvas.dataset.voxel = voxel.join(",");
}

function readOut(view, layer) {
  if (layer.kind === "rgb") {
    const voxels = view.header.shape.reduce((a, b) => a * b);
    const at = (view.voxel[0] * view.header.shape[1] + view.voxel[1]) * view.header.shape[2] + view.voxel[2];
    return [0, 1, 2].map((c) => layer.codes[at + c * voxels]).join(", ");
  }
  const [, ny, nz] = view.header.shape;
  const voxels = view.header.shape[0] * ny * nz;
  const frame = layer === view.header.layers[0] ? view.frame : 0;
  const code = layer.codes[frame * voxels + (view.voxel[0] * ny + view.voxel[1]) * nz + view.voxel[2]];
  if (layer.kind === "labels") return escape(layer.labels.find((label) => label.code === code)?.name ?? "none");
  const value = short(valueOf(layer, code)) + (layer.unit && code ? " " + escape(layer.unit) : "");
  return layer.shares && code ? `${value} (top ${+(100 * layer.shares[code]).toPrecision(2)} %)` : value;
}

function escape(words) {
  const node = document.createElement("i");
  node.textContent = words;
  return node.innerHTML;
}

function recall(name) {
  try { return JSON.parse(localStorage.getItem(STORE + name)); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(STORE + name, JSON.stringify(value)); } catch { /* private windows keep nothing */ }
}

// A picture at twice the size, with letters, scales and side.
function save(viewer) {
  const { view, canvas } = viewer;
  const sheet = document.createElement("canvas");
  sheet.width = canvas.clientWidth * 2;
  sheet.height = canvas.clientHeight * 2;
  const context = sheet.getContext("2d");
  context.setTransform(2, 0, 0, 2, 0, 0);
  paint(context, canvas.clientWidth, canvas.clientHeight, view);
  const link = document.createElement("a");
  link.download = `${view.header.name}-${view.voxel.map((v) => v * view.header.step).join("-")}.png`.replace(/[^\w.-]+/g, "_");
  link.href = sheet.toDataURL("image/png");
  link.click();
}
