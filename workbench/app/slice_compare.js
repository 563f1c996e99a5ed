// Two images on one lattice compared in the browser: side by side, blended, as a checkerboard, by a wipe, by turns, or
// with the grid that the deformation bends. Only the drawing changes, so every way answers at once.

const WAYS = {
  side: { name: "Side by side", hint: "Both images, slice beside slice" },
  blend: { name: "Blend", amount: "Registered", unit: "%", low: 0, high: 100, start: 50, hint: "One over the other" },
  checker: { name: "Checkerboard", amount: "Squares", unit: "mm", low: 2, high: 60, hint: "By turns in squares: edges must go on" },
  wipe: { name: "Wipe", amount: "Line", unit: "%", low: 0, high: 100, start: 50, hint: "One left of the line, one right; drag the line" },
  flicker: { name: "Flicker", amount: "Changes", unit: "a second", low: 0.5, high: 3, by: 0.5, start: 1, hint: "By turns: what jumps is not aligned" },
  fixed: { name: "Fixed", hint: "The first image alone" },
  moved: { name: "Registered", hint: "The second image alone" },
  grid: { name: "Deformed grid", amount: "Lines every", unit: "mm", low: 1, high: 25, hint: "A grid that was straight on the moving image" },
};
const GRID_COLOR = "#ffd166";
const WIPE_REACH = 9;

// Take the second image and the field out of the layers, so that what is left are the image and its overlays.
function splitRoles(header) {
  header.second = header.layers.find((layer) => layer.role === "second") ?? null;
  header.field = header.layers.find((layer) => layer.role === "field") ?? null;
  header.layers = header.layers.filter((layer) => !layer.role);
}

// The ways this payload allows: heat maps are ways of their own, drawn over the first image.
function waysOf(header) {
  if (!header.second) return [];
  const own = Object.keys(WAYS).filter((name) => name !== "grid" || header.field);
  return [...own, ...header.layers.filter((layer) => layer.kind === "heat").map((layer) => layer.name)];
}

function startAmounts(header) {
  const longest = Math.max(...header.shape.map((n, axis) => n * header.spacing[axis]));
  const near = (sizes, share) => sizes.reduce((a, b) => (Math.abs(b - longest * share) < Math.abs(a - longest * share) ? b : a));
  return { blend: 50, wipe: 50, flicker: 1, checker: near([4, 6, 8, 10, 15, 20, 30], 0.14), grid: near([1, 2, 3, 4, 5, 8, 10], 0.045) };
}

function isShown(view, layer) {
  if (layer.off || !view.overlays) return false;
  if (!view.header.second) return true;
  if (layer.kind === "heat") return view.mode === layer.name;
  // The grid stands alone, and over a map only what belongs to the first image: too many lines hide both.
  return view.mode !== "grid" && !(layer.dashed && isMap(view));
}

// Whether a heat map is how two images are compared.
function isMap(view) {
  return Boolean(view.header.second && !WAYS[view.mode]);
}

// The second image keeps the share of its own window that the user gives the first one of its.
function secondWindow(view) {
  const [first] = view.header.windows;
  const [own] = view.header.second.windows;
  const ratio = own.width / first.width;
  return { level: own.level + (view.level - first.level) * ratio, width: Math.max(view.width * ratio, 1e-9) };
}

function colorSecond(view) {
  const { second } = view.header;
  if (!second) return;
  const { level, width } = secondWindow(view);
  view.tables.set(second, grayTable(second, level, width));
}

function showsSecond(view, panel) {
  return panel.image === "second" || view.mode === "moved" || view.mode === "grid" || (view.mode === "flicker" && view.phase);
}

function paintCompared(context, view, panel, mirror, rect) {
  const { header } = view;
  const index = view.voxel[PLANES[panel.plane].n];
  const image = (layer) => context.drawImage(planeCanvas(header, layer, view.tables.get(layer), panel.plane, index, mirror, 0), ...rect);
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = view.smooth;
  context.imageSmoothingQuality = "high";
  if (showsSecond(view, panel)) {
    image(header.second);
    if (view.mode === "grid") paintGrid(context, view, panel);
    return;
  }
  image(header.layers[0]);
  if (view.mode === "blend") context.globalAlpha = view.amounts.blend / 100;
  else if (view.mode !== "checker" && view.mode !== "wipe") return;
  context.save();
  if (view.mode !== "blend") {
    context.beginPath();
    if (view.mode === "wipe") context.rect(wipeAt(view, panel), panel.y, panel.w, panel.h);
    else squares(context, view, panel, rect);
    context.clip();
  }
  image(header.second);
  context.restore();
  context.globalAlpha = 1;
  if (view.mode === "wipe") paintWipe(context, view, panel);
}

function squares(context, view, panel, [x0, y0, w, h]) {
  const side = view.amounts.checker * view.layout.scale * view.zoom;
  for (let row = 0; row * side < h; row++) {
    for (let column = (row + 1) % 2; column * side < w; column += 2) {
      context.rect(x0 + column * side, y0 + row * side, Math.min(side, w - column * side), Math.min(side, h - row * side));
    }
  }
}

function wipeAt(view, panel) {
  return panel.x + (view.amounts.wipe / 100) * panel.w;
}

function paintWipe(context, view, panel) {
  const x = wipeAt(view, panel);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x, panel.y);
  context.lineTo(x, panel.y + panel.h);
  context.stroke();
  context.fillStyle = "#ffffff";
  context.beginPath();
  context.arc(x, panel.cy + panel.h * 0.3, 6, 0, 2 * Math.PI);
  context.fill();
}

// Beside the line, above all that is drawn, and away from its ends where the letters are.
function paintWipeNames(context, view, panel) {
  const x = wipeAt(view, panel);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "top";
  const [first, second] = view.header.compare.names;
  const y = panel.y + panel.h - 36;
  const [one, other] = [first, second].map((name) => context.measureText(name).width);
  const words = (name, left) => {
    plate(context, name, left, y);
    text(context, name, left, y, "left");
  };
  if (x - panel.x > one + 14) words(first, x - one - 8);
  if (panel.x + panel.w - x > other + 14) words(second, x + 8);
}

// What a panel says of itself beside its plane.
function panelWords(view, panel) {
  if (!view.header.second) return panel.plane;
  const [first, second] = view.header.compare.names;
  if (["blend", "checker", "wipe"].includes(view.mode)) return panel.plane;
  return `${panel.plane} · ${(showsSecond(view, panel) ? second : first).toLowerCase()}`;
}

// Two rows of planes, the first image above the second; or one plane twice.
function arrangeSide(header, width, height, only) {
  const mm = header.shape.map((n, axis) => n * header.spacing[axis]);
  const planes = only || header.flat ? [only ?? "axial"] : ["axial", "coronal", "sagittal"];
  const [gap, foot] = [10, 44];
  const extent = (plane) => [mm[PLANES[plane].h], mm[PLANES[plane].v]];
  const across = planes.length === 1 ? 2 * extent(planes[0])[0] : planes.reduce((sum, plane) => sum + extent(plane)[0], 0);
  const tall = Math.max(...planes.map((plane) => extent(plane)[1]));
  const rows = planes.length === 1 ? 1 : 2;
  const columns = planes.length === 1 ? 2 : planes.length;
  const scale = Math.min((width - (columns + 1) * gap) / across, (height - foot - (rows + 1) * gap) / (rows * tall));
  const left = Math.max(gap, (width - across * scale - (columns - 1) * gap) / 2);
  const panels = [];
  ["first", "second"].forEach((image, number) => {
    let x = planes.length === 1 ? left + number * (across * scale / 2 + gap) : left;
    const cy = gap + (rows === 2 ? number * (tall * scale + gap) : 0) + (tall * scale) / 2;
    for (const plane of planes) {
      const [w, h] = extent(plane).map((e) => e * scale);
      panels.push({ ...place(plane, x + w / 2, cy, w, h), image });
      x += w + gap;
    }
  });
  const fits = rows * tall * scale + foot + (rows + 1) * gap;
  return { scale, panels, foot: [gap, fits - foot, width - 2 * gap, foot - 4], fits };
}

// Lines where the place that a voxel comes from has a round coordinate along one axis of the plane: marching squares.
function paintGrid(context, view, panel) {
  const path = new Path2D();
  for (const axis of [PLANES[panel.plane].h, PLANES[panel.plane].v]) gridLines(path, view, panel, axis);
  context.strokeStyle = "rgba(10, 13, 18, 0.45)";
  context.lineWidth = 2.4;
  context.stroke(path);
  context.strokeStyle = GRID_COLOR;
  context.lineWidth = 1;
  context.stroke(path);
}

function gridLines(path, view, panel, axis) {
  const { header } = view;
  const { h, v, n } = PLANES[panel.plane];
  const [columns, rows] = [header.field.shape[h], header.field.shape[v]];
  const every = header.field.every;
  const step = view.amounts.grid / header.spacing[axis]; // voxels between lines
  const values = new Float32Array(columns * rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const node = [0, 0, 0];
      node[h] = c;
      node[v] = r;
      node[n] = view.voxel[n] / every;
      values[r * columns + c] = ((axis === h ? c : r) * every + fieldAt(header.field, axis, node, n)) / step;
    }
  }
  const at = (c, r) => toScreen(view, panel, c * every, r * every);
  for (let r = 0; r + 1 < rows; r++) {
    for (let c = 0; c + 1 < columns; c++) cell(path, values, columns, c, r, at);
  }
}

// The pieces of all level lines in one cell: between the places where its four edges cross a whole number.
function cell(path, values, columns, c, r, at) {
  const corners = [[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]];
  const found = corners.map(([x, y]) => values[y * columns + x]);
  for (let level = Math.ceil(Math.min(...found)); level <= Math.floor(Math.max(...found)); level++) {
    const points = [];
    for (let i = 0; i < 4; i++) {
      const [a, b] = [found[i], found[(i + 1) % 4]];
      if (a < level === b < level) continue;
      const t = (level - a) / (b - a);
      const [p, q] = [corners[i], corners[(i + 1) % 4]];
      points.push(at(p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])));
    }
    for (let i = 0; i + 1 < points.length; i += 2) {
      path.moveTo(...points[i]);
      path.lineTo(...points[i + 1]);
    }
  }
}

// One component of the field in voxels at a node, interpolated along the plane's normal.
function fieldAt(field, component, node, normal) {
  const [nx, ny, nz] = field.shape;
  const top = field.shape[normal] - 1;
  const low = Math.min(Math.floor(node[normal]), top);
  const high = Math.min(low + 1, top);
  const share = Math.min(1, node[normal] - low);
  const read = (k) => {
    const where = [...node];
    where[normal] = k;
    return valueOf(field, field.codes[((component * nx + where[0]) * ny + where[1]) * nz + where[2]]);
  };
  return read(low) * (1 - share) + (share ? read(high) * share : 0);
}

// How far the voxel under the cross was brought, in mm.
function movedBy(view) {
  const { field, spacing } = view.header;
  const node = view.voxel.map((x, axis) => Math.min(field.shape[axis] - 1, Math.round(x / field.every)));
  return Math.hypot(...[0, 1, 2].map((axis) => fieldAt(field, axis, node, 0) * spacing[axis]));
}

function isStill() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// By turns: a timer while that way is chosen, none for who has asked for less motion; then the space bar switches.
function beat(viewer) {
  clearInterval(viewer.timer);
  viewer.timer = null;
  const { view } = viewer;
  if (!view?.header.second || view.mode !== "flicker" || isStill()) return;
  viewer.timer = setInterval(() => {
    if (!viewer.canvas.isConnected) return clearInterval(viewer.timer);
    view.phase = !view.phase;
    draw(viewer);
  }, 1000 / view.amounts.flicker);
}

function chooseWay(viewer, name) {
  const { view } = viewer;
  if (!waysOf(view.header).includes(name)) return;
  view.mode = name;
  view.phase = false;
  fillCompare(viewer);
  beat(viewer);
  draw(viewer);
}

// The space bar: the other image of the two.
function swapImages(viewer) {
  const { view } = viewer;
  if (view.mode !== "flicker") return chooseWay(viewer, view.mode === "fixed" ? "moved" : "fixed");
  view.phase = !view.phase;
  draw(viewer);
}

function setAmount(viewer, value) {
  const { view } = viewer;
  view.amounts[view.mode] = value;
  fillCompare(viewer);
  beat(viewer);
  draw(viewer);
}

function nearWipe(viewer, panel, [x]) {
  const { view } = viewer;
  return Boolean(view.header.second && view.mode === "wipe" && panel && Math.abs(x - wipeAt(view, panel)) < WIPE_REACH);
}

function dragWipe(viewer, panel, [x]) {
  setAmount(viewer, Math.round(Math.max(0, Math.min(100, (100 * (x - panel.x)) / panel.w))));
}

function fillCompare(viewer) {
  const { view, root } = viewer;
  const box = root.querySelector(".compare");
  const ways = waysOf(view.header);
  box.hidden = !ways.length;
  if (!ways.length) return;
  const group = box.querySelector(".ways");
  if (group.dataset.ways !== ways.join("|")) {
    group.dataset.ways = ways.join("|");
    group.replaceChildren(...ways.map((name, i) => wayButton(viewer, name, i)));
  }
  for (const button of group.children) {
    const chosen = button.dataset.way === view.mode;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  const way = WAYS[view.mode];
  const field = box.querySelector(".amount");
  field.hidden = !way?.amount;
  box.querySelector(".still").hidden = !(view.mode === "flicker" && isStill());
  if (!way?.amount) return;
  const input = field.querySelector("input");
  Object.assign(input, { min: way.low, max: way.high, step: way.by ?? 1 });
  input.value = view.amounts[view.mode];
  input.setAttribute("aria-label", `${way.amount}, ${way.unit}`);
  field.querySelector("span").textContent = way.amount;
  field.querySelector("output").textContent = `${view.amounts[view.mode]} ${way.unit}`;
}

function wayButton(viewer, name, i) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.way = name;
  button.setAttribute("role", "radio");
  button.textContent = wayName(viewer.view.header, name);
  button.title = `${WAYS[name]?.hint ?? "Over the first image"} (${i + 1})`;
  button.onclick = () => chooseWay(viewer, name);
  button.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const ways = waysOf(viewer.view.header);
    chooseWay(viewer, ways[(ways.indexOf(viewer.view.mode) + by + ways.length) % ways.length]);
    button.parentElement.querySelector('[aria-checked="true"]').focus();
  };
  return button;
}

function wayName(header, name) {
  if (name === "fixed") return header.compare.names[0];
  return name === "moved" ? header.compare.names[1] : WAYS[name]?.name ?? name;
}
