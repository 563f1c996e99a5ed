// How layers become pixels. Voxels are stored (X, Y, Z) with Z fastest; X grows to the right, Y to the front, Z upwards.

const PLANES = {
  axial: { h: 0, v: 1, n: 2 },
  coronal: { h: 0, v: 2, n: 1 },
  sagittal: { h: 1, v: 2, n: 0 },
};
const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]];
const INK = "rgba(226, 232, 240, 0.92)";
const FAINT = "rgba(148, 163, 184, 0.85)";

// 4 bytes of header length, a JSON header, then each layer at its 8-byte aligned offset.
function unpack(bytes) {
  const raw = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const buffer = raw.slice().buffer; // a copy of its own: aligned for 16-bit views
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const layer of header.layers) {
    const View = layer.bits === 16 ? Uint16Array : Uint8Array;
    layer.codes = new View(buffer, layer.offset, layer.length);
  }
  splitRoles(header);
  return header;
}

// Code 0 is "no value" (not a number, or no label); the value of code c is low + (c - 1) · step, or looked up.
function valueOf(layer, code) {
  if (code === 0) return NaN;
  return layer.table ? layer.table[code] : layer.low + (code - 1) * layer.step;
}

function grayTable(layer, level, width) {
  const table = new Uint32Array(layer.bits === 16 ? 65536 : 256).fill(0xff000000);
  const low = level - width / 2;
  for (let code = 1; code < table.length; code++) {
    const g = Math.max(0, Math.min(255, Math.round(((valueOf(layer, code) - low) / width) * 255)));
    table[code] = (0xff000000 | (g << 16) | (g << 8) | g) >>> 0;
  }
  return table;
}

function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

function ramp(colors, t) {
  const at = t * (colors.length - 1);
  const i = Math.min(colors.length - 2, Math.floor(at));
  const [a, b] = [rgb(colors[i]), rgb(colors[i + 1])];
  return a.map((x, k) => Math.round(x + (b[k] - x) * (at - i)));
}

// Where a code lies on the colours, which span what is shown: from the threshold up to the highest value.
function share(code, threshold) {
  const first = Math.max(1, threshold + 1);
  return (code - first) / Math.max(1, 255 - first);
}

function heatTable(layer, threshold) {
  const table = new Uint32Array(256);
  const first = layer.signed ? 0 : threshold;
  for (let code = Math.max(1, first + 1); code < 256; code++) {
    const at = share(code, first);
    const [r, g, b] = ramp(layer.colors, at);
    const opaque = layer.signed ? Math.min(255, Math.round(40 + 3 * 255 * Math.abs(at - 0.5))) : 255; // the middle is nothing
    table[code] = ((opaque << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}

function labelTable(layer, hidden) {
  const table = new Uint32Array(layer.bits === 16 ? 65536 : 256);
  layer.labels.forEach((label) => {
    const [r, g, b] = rgb(label.color);
    if (!hidden.has(label.name)) table[label.code] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
  return table;
}

// One plane of one layer as a canvas of one pixel a voxel; row 0 is the top (largest v), columns may be mirrored.
function planeCanvas(header, layer, table, plane, index, mirror, frame) {
  const { h, v, n } = PLANES[plane];
  const size = header.shape;
  const stride = [size[1] * size[2], size[2], 1];
  const [width, height] = [size[h], size[v]];
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  const voxels = size[0] * size[1] * size[2];
  const start = frame * voxels + index * stride[n];
  const codes = layer.codes;
  for (let row = 0; row < height; row++) {
    const line = start + (height - 1 - row) * stride[v];
    for (let column = 0; column < width; column++) {
      const at = line + (mirror ? width - 1 - column : column) * stride[h];
      out[row * width + column] = layer.kind === "rgb"
        ? (0xff000000 | (codes[at + 2 * voxels] << 16) | (codes[at + voxels] << 8) | codes[at]) >>> 0
        : table[codes[at]];
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// A short number with about four digits.
function short(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return x.toExponential(2);
  return String(+x.toPrecision(4));
}

// Where each plane lies, in CSS pixels. Wide stages put the planes in a row, narrow ones in two rows.
function arrange(header, width, height, only) {
  const mm = header.shape.map((n, axis) => n * header.spacing[axis]);
  const gap = 10;
  const extent = (plane) => [mm[PLANES[plane].h], mm[PLANES[plane].v]];
  if (header.flat || only) {
    const plane = header.flat ? "axial" : only;
    const foot = 44;
    const [a, b] = extent(plane);
    const scale = Math.min((width - 2 * gap) / a, (height - foot - 2 * gap) / b);
    return { scale, panels: [place(plane, width / 2, (height - foot) / 2, a * scale, b * scale)], foot: [gap, height - foot, width - 2 * gap, foot - 4] };
  }
  const row = width > 1.9 * height && header.n_frames === 1;
  if (row) {
    const foot = 44;
    const scale = Math.min((width - 4 * gap) / (2 * mm[0] + mm[1]), (height - foot - 2 * gap) / Math.max(mm[1], mm[2]));
    const spare = Math.max(0, (width - 4 * gap - (2 * mm[0] + mm[1]) * scale) / 2);
    const middle = gap + (height - foot - 2 * gap) / 2;
    let x = gap + spare;
    const panels = ["axial", "coronal", "sagittal"].map((plane) => {
      const [a, b] = extent(plane).map((e) => e * scale);
      const panel = place(plane, x + a / 2, middle, a, b);
      x += a + gap;
      return panel;
    });
    return { scale, panels, foot: [gap, height - foot, width - 2 * gap, foot - 4], fits: Math.max(mm[1], mm[2]) * scale + foot + 2 * gap };
  }
  const scale = Math.min((width - 3 * gap) / (mm[0] + mm[1]), (height - 3 * gap) / (mm[1] + mm[2]));
  const fits = (mm[1] + mm[2]) * scale + 3 * gap;
  const [w0, w1, h0, h1] = [mm[0] * scale, mm[1] * scale, mm[2] * scale, mm[1] * scale];
  const left = (width - w0 - w1 - gap) / 2;
  const top = (height - h0 - h1 - gap) / 2;
  const panels = [
    place("coronal", left + w0 / 2, top + h0 / 2, w0, h0),
    place("sagittal", left + w0 + gap + w1 / 2, top + h0 / 2, w1, h0),
    place("axial", left + w0 / 2, top + h0 + gap + h1 / 2, w0, h1),
  ];
  return { scale, panels, foot: [left + w0 + gap, top + h0 + gap, w1, h1], cell: true, fits };
}

function place(plane, cx, cy, w, h) {
  return { plane, x: cx - w / 2, y: cy - h / 2, w, h, cx, cy };
}

// The direction in which the horizontal voxel axis runs on the screen: +1 to the right.
function direction(view, plane) {
  return PLANES[plane].h === 0 ? (view.radiological ? -1 : 1) : view.noseLeft ? -1 : 1;
}

function toScreen(view, panel, h, v) {
  const p = PLANES[panel.plane];
  const k = view.layout.scale * view.zoom;
  const { spacing } = view.header;
  return [
    panel.cx + direction(view, panel.plane) * (h - view.center[p.h]) * spacing[p.h] * k,
    panel.cy - (v - view.center[p.v]) * spacing[p.v] * k,
  ];
}

function toVoxel(view, panel, x, y) {
  const p = PLANES[panel.plane];
  const k = view.layout.scale * view.zoom;
  const { spacing } = view.header;
  return [
    view.center[p.h] + (direction(view, panel.plane) * (x - panel.cx)) / (spacing[p.h] * k),
    view.center[p.v] - (y - panel.cy) / (spacing[p.v] * k),
  ];
}

function paint(context, width, height, view) {
  context.fillStyle = "#0a0d12";
  context.fillRect(0, 0, width, height);
  view.layout = layoutOf(view, width, height);
  for (const panel of view.layout.panels) paintPanel(context, view, panel);
  paintLegend(context, view);
  if (view.header.n_frames > 1) paintCourse(context, view);
}

function layoutOf(view, width, height) {
  const two = view.header.second && view.mode === "side";
  return (two ? arrangeSide : arrange)(view.header, width, height, view.only);
}

function paintPanel(context, view, panel) {
  const { header } = view;
  const p = PLANES[panel.plane];
  const mirror = direction(view, panel.plane) < 0;
  context.save();
  context.beginPath();
  context.rect(panel.x, panel.y, panel.w, panel.h);
  context.clip();
  const [x0, y0] = toScreen(view, panel, mirror ? header.shape[p.h] - 0.5 : -0.5, header.shape[p.v] - 0.5);
  const k = view.layout.scale * view.zoom;
  const [w, h] = [header.shape[p.h] * header.spacing[p.h] * k, header.shape[p.v] * header.spacing[p.v] * k];
  for (const layer of header.layers) {
    const base = layer === header.layers[0];
    if (!base && !isShown(view, layer)) continue;
    if (base && header.second) {
      paintCompared(context, view, panel, mirror, [x0, y0, w, h]);
      continue;
    }
    context.globalAlpha = base ? 1 : view.opacity;
    context.imageSmoothingEnabled = view.smooth && layer.kind !== "labels";
    context.imageSmoothingQuality = "high";
    const frame = base && layer.kind !== "rgb" ? view.frame : 0;
    if (layer.kind === "labels" && layer.outline) {
      paintOutlines(context, view, layer, panel, mirror, [x0, y0, w, h]);
      continue;
    }
    context.drawImage(planeCanvas(header, layer, view.tables.get(layer), panel.plane, view.voxel[p.n], mirror, frame), x0, y0, w, h);
  }
  context.globalAlpha = 1;
  for (const mark of header.marks) paintMark(context, view, panel, mark);
  if (view.cross) paintCross(context, view, panel);
  context.restore();
  paintLetters(context, view, panel);
  if (header.second && view.mode === "wipe" && !showsSecond(view, panel)) paintWipeNames(context, view, panel);
}

function paintCross(context, view, panel) {
  const p = PLANES[panel.plane];
  const [x, y] = toScreen(view, panel, view.voxel[p.h], view.voxel[p.v]);
  const hole = 7;
  context.strokeStyle = view.header.cross_color;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(panel.x, y); context.lineTo(x - hole, y);
  context.moveTo(x + hole, y); context.lineTo(panel.x + panel.w, y);
  context.moveTo(x, panel.y); context.lineTo(x, y - hole);
  context.moveTo(x, y + hole); context.lineTo(x, panel.y + panel.h);
  context.stroke();
}

// A ring where a point lies; faint when it is more than two slices away.
function paintMark(context, view, panel, mark) {
  const p = PLANES[panel.plane];
  const [x, y] = toScreen(view, panel, mark.voxel[p.h], mark.voxel[p.v]);
  context.globalAlpha = Math.abs(mark.voxel[p.n] - view.voxel[p.n]) <= 2 ? 1 : 0.35;
  context.strokeStyle = mark.color;
  context.lineWidth = 2;
  context.beginPath();
  if (mark.shape === "square") context.rect(x - 5, y - 5, 10, 10);
  else context.arc(x, y, 6, 0, 2 * Math.PI);
  context.stroke();
  context.globalAlpha = 1;
}

function text(context, words, x, y, align, color = INK) {
  context.textAlign = align;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = "rgba(10, 13, 18, 0.75)";
  context.strokeText(words, x, y);
  context.fillStyle = color;
  context.fillText(words, x, y);
}

function paintLetters(context, view, panel) {
  if (view.header.flat) return;
  const p = PLANES[panel.plane];
  const [low, high] = LETTERS[p.h];
  const [left, right] = direction(view, panel.plane) > 0 ? [low, high] : [high, low];
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "top";
  if (view.mode === "grid") plate(context, panelWords(view, panel), panel.x + 4, panel.y + 4);
  text(context, panelWords(view, panel), panel.x + 4, panel.y + 4, "left", FAINT);
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  text(context, left, panel.x + 4, panel.cy, "left");
  text(context, right, panel.x + panel.w - 4, panel.cy, "right");
  context.textBaseline = "top";
  text(context, LETTERS[p.v][1], panel.cx, panel.y + 3, "center");
  context.textBaseline = "bottom";
  text(context, LETTERS[p.v][0], panel.cx, panel.y + panel.h - 3, "center");
}

// Something dark for words of 11 px to stand on, where lines run beneath them.
function plate(context, words, x, y) {
  context.fillStyle = "rgba(10, 13, 18, 0.7)";
  context.fillRect(x - 4, y - 4, context.measureText(words).width + 8, 18);
}

// Colour scales with their units, and which side the patient's left is on: always printed, also in the saved picture.
function paintLegend(context, view) {
  const { header, layout } = view;
  const [x, y, w, h] = layout.foot;
  const scales = header.layers.filter((layer, i) => (i === 0 ? layer.kind === "gray" : layer.kind === "heat" && isShown(view, layer)));
  if (header.second && ["moved", "grid"].includes(view.mode)) scales[0] = header.second;
  const course = header.n_frames > 1 && layout.cell;
  const bar = layout.cell ? Math.min(w - 16, 240) : Math.min(240, (w - 190) / Math.max(1, scales.length) - 20);
  let [left, top] = layout.cell ? [x + 8, y + (course ? h * 0.56 : 8)] : [x, y + 6];
  context.font = "11px system-ui, sans-serif";
  for (const layer of scales) {
    paintScale(context, view, layer, left, top, bar);
    if (layout.cell) top += 42;
    else left += bar + 24;
  }
  context.textBaseline = "bottom";
  if (!header.flat) {
    const long = view.radiological ? "Radiological: left is drawn right" : "Neurological: left is drawn left";
    const side = context.measureText(long).width < w - 12 ? long : long.split(":")[0];
    text(context, side, layout.cell ? x + 8 : x + w, y + h - 4, layout.cell ? "left" : "right", INK);
  }
  if (header.step > 1) text(context, `every ${header.step}. voxel is shown`, layout.cell ? x + 8 : x + w, y + h - 20, layout.cell ? "left" : "right", FAINT);
}

function paintScale(context, view, layer, left, top, width) {
  const gray = layer.kind === "gray";
  const gradient = context.createLinearGradient(left, 0, left + width, 0);
  const colors = gray ? ["#000000", "#ffffff"] : layer.colors;
  colors.forEach((color, i) => gradient.addColorStop(i / (colors.length - 1), color));
  context.textBaseline = "top";
  text(context, layer.unit ? `${layer.name} (${layer.unit})` : layer.name, left, top, "left", FAINT);
  const { level, width: wide } = layer === view.header.second ? secondWindow(view) : view;
  context.fillStyle = gradient;
  context.fillRect(left, top + 14, width, 7);
  context.strokeStyle = "rgba(148, 163, 184, 0.5)";
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top + 13.5, width + 1, 8);
  const ticks = gray
    ? [[0, short(level - wide / 2)], [1, short(level + wide / 2)]]
    : layer.signed ? layer.ticks : heatTicks(layer, view.threshold);
  // The ends first; what lies between only where it does not run into them.
  const ends = [ticks[0], ticks[ticks.length - 1]].map(([, words]) => context.measureText(words).width);
  let free = left + ends[0] + 6;
  ticks.forEach(([at, words], i) => {
    const x = left + at * width;
    if (i === 0) return text(context, words, x, top + 24, "left");
    if (i === ticks.length - 1) return text(context, words, x, top + 24, "right");
    const half = context.measureText(words).width / 2;
    if (x - half < free || x + half > left + width - ends[1] - 6) return;
    text(context, words, x, top + 24, "center");
    free = x + half + 6;
  });
}

// Ticks are [position among all codes, words]; those below the threshold give way to one at the threshold.
function heatTicks(layer, threshold) {
  const first = Math.max(1, threshold + 1);
  const moved = layer.ticks.map(([at, words]) => [share(1 + 254 * at, threshold), words]).filter(([at]) => at > 0.02);
  const words = layer.shares ? `${+(100 * layer.shares[first]).toPrecision(2)} %` : short(valueOf(layer, first));
  return [[0, words], ...moved];
}

// The values at the cross over time.
function paintCourse(context, view) {
  const { header, layout } = view;
  if (!layout.cell) return;
  const [x, y, w, h] = [layout.foot[0] + 8, layout.foot[1] + 20, layout.foot[2] - 16, layout.foot[3] * 0.52 - 34];
  const values = header.frames.map((_, t) => valueAt(view, header.layers[0], t));
  const finite = values.filter(Number.isFinite);
  if (!finite.length || h < 20) return;
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const px = (t) => x + (t / Math.max(1, values.length - 1)) * w;
  const py = (value) => y + h - ((value - low) / (high - low || 1)) * h;
  view.course = { x, y, w, h };
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "top";
  text(context, `${header.layers[0].name} at the cross, ${short(low)} to ${short(high)}`, x, y - 16, "left", FAINT);
  context.strokeStyle = "rgba(148, 163, 184, 0.35)";
  context.lineWidth = 1;
  context.strokeRect(x, y, w, h);
  context.strokeStyle = "#56b4e9";
  context.lineWidth = 1.5;
  context.beginPath();
  values.forEach((value, t) => (t ? context.lineTo(px(t), py(value)) : context.moveTo(px(t), py(value))));
  context.stroke();
  context.strokeStyle = header.cross_color;
  context.beginPath();
  context.moveTo(px(view.frame), y); context.lineTo(px(view.frame), y + h);
  context.stroke();
}

function valueAt(view, layer, frame) {
  const [, ny, nz] = view.header.shape;
  const voxels = view.header.shape[0] * ny * nz;
  const [i, j, k] = view.voxel;
  return valueOf(layer, layer.codes[frame * voxels + (i * ny + j) * nz + k]);
}
