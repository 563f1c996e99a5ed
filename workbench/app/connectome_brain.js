// The brain in three dimensions on a 2-D canvas: a shaded surface, edges by sign and size, regions by strength.

const VIEWS = { o: [-130, 24], l: [-90, 0], r: [90, 0], a: [180, 0], p: [0, 0], s: [0, 90], i: [180, -90] };
const CENTER = [0, -17, 6], REACH = 92; // mm
const MOST_DRAWN = 6000, MOST_NAMED = 9, EDGE_WIDTHS = [0.6, 1, 1.6, 2.5];
const SIDES = [["L", [-84, -17, 0]], ["R", [84, -17, 0]], ["A", [0, 88, 0]], ["P", [0, -120, 0]], ["S", [0, -17, 96]], ["I", [0, -17, -86]]];

// Right, up and towards the viewer as directions in mm, for an azimuth and an elevation in degrees.
function basis([azimuth, elevation]) {
  const [a, e] = [azimuth, elevation].map((angle) => (angle * Math.PI) / 180);
  const toward = [Math.sin(a) * Math.cos(e), -Math.cos(a) * Math.cos(e), Math.sin(e)];
  const right = [Math.cos(a), Math.sin(a), 0];
  return [right, cross(toward, right), toward];
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot(a, x, y, z) {
  return a[0] * x + a[1] * y + a[2] * z;
}

function vertexNormals(vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [i, j, k] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const u = [0, 1, 2].map((c) => vertices[j + c] - vertices[i + c]), v = [0, 1, 2].map((c) => vertices[k + c] - vertices[i + c]);
    const normal = cross(u, v);
    for (const at of [i, j, k]) for (let c = 0; c < 3; c++) normals[at + c] += normal[c];
  }
  let outward = 0;
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
    for (let c = 0; c < 3; c++) {
      normals[i + c] /= length;
      outward += normals[i + c] * (vertices[i + c] - CENTER[c]);
    }
  }
  return outward < 0 ? normals.map((x) => -x) : normals;
}

// Where points stand on the canvas in px, and how near they are in mm.
function project(view, points) {
  const { scale, middle } = view.frame, [right, up, toward] = view.axes;
  const found = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const x = points[i] - CENTER[0], y = points[i + 1] - CENTER[1], z = points[i + 2] - CENTER[2];
    found[i] = middle[0] + scale * dot(right, x, y, z);
    found[i + 1] = middle[1] - scale * dot(up, x, y, z);
    found[i + 2] = dot(toward, x, y, z);
  }
  return found;
}

// The surface nearest to the viewer at every pixel, lit from above; half as fine while it is being turned.
function paintSurface(view) {
  const { width, height } = view.frame, share = view.turning ? 0.5 : 1;
  const w = Math.ceil(width * share), h = Math.ceil(height * share);
  const at = project(view, view.vertices), [right, up, toward] = view.axes;
  const lit = new Float32Array(at.length / 3);
  for (let i = 0; i < lit.length; i++) {
    const [x, y, z] = [view.normals[3 * i], view.normals[3 * i + 1], view.normals[3 * i + 2]];
    lit[i] = 0.93 * dot(toward, x, y, z) + 0.3 * dot(up, x, y, z) - 0.2 * dot(right, x, y, z);
  }
  const depth = new Float32Array(w * h).fill(-1e9), light = new Float32Array(w * h);
  const { faces } = view;
  for (let f = 0; f < faces.length; f += 3) fillTriangle(at, lit, [faces[f], faces[f + 1], faces[f + 2]], share, [w, h], depth, light);
  const sheet = view.skin ?? (view.skin = document.createElement("canvas"));
  [sheet.width, sheet.height] = [w, h];
  const context = sheet.getContext("2d"), image = context.createImageData(w, h), pixels = new Uint32Array(image.data.buffer);
  for (let p = 0; p < pixels.length; p++) if (depth[p] > -1e8) pixels[p] = view.skinTable[Math.max(0, Math.min(255, Math.round(((light[p] - 0.25) / 0.75) * 255)))];
  context.putImageData(image, 0, 0);
}

function fillTriangle(at, lit, [i, j, k], share, [w, h], depth, light) {
  const ax = at[3 * i] * share, ay = at[3 * i + 1] * share, bx = at[3 * j] * share, by = at[3 * j + 1] * share, cx = at[3 * k] * share, cy = at[3 * k + 1] * share;
  const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  if (Math.abs(area) < 1e-9) return;
  const x0 = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 0.5)), x1 = Math.min(w - 1, Math.floor(Math.max(ax, bx, cx) + 0.5));
  const y0 = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 0.5)), y1 = Math.min(h - 1, Math.floor(Math.max(ay, by, cy) + 0.5));
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const v = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area, u = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area;
      if (u < -1e-3 || v < -1e-3 || u + v > 1.001) continue;
      const near = at[3 * i + 2] * (1 - u - v) + at[3 * j + 2] * v + at[3 * k + 2] * u;
      const p = y * w + x;
      if (near <= depth[p]) continue;
      depth[p] = near;
      light[p] = lit[i] * (1 - u - v) + lit[j] * v + lit[k] * u;
    }
  }
}

function frameBrain(view) {
  const width = view.brain.clientWidth, height = view.paneHeight;
  const scale = (Math.min(width, height * 1.08) / (2 * REACH)) * view.zoom;
  view.frame = { width, height, scale, middle: [width / 2, height / 2 + 2] };
  view.axes = basis(view.turn);
}

// Everything that does not depend on what is selected: surface, edges, regions.
function paintBrain(view) {
  frameBrain(view);
  view.at = project(view, view.places);
  const skin = [view.turn, view.zoom, view.frame.width, view.frame.height, view.dark, view.turning].join();
  if (skin !== view.skinOf) paintSurface(view);
  view.skinOf = skin;
  const { width, height } = view.frame;
  view.net ??= document.createElement("canvas");
  const context = sized(view.net, width, height);
  strokeEdges(context, view, view.drawn, 1);
  for (const region of view.byDepth()) drawRegion(context, view, region);
}

function drawBrain(view) {
  const { width, height } = view.frame;
  const context = sized(view.brain, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(view.skin, 0, 0, width, height);
  context.font = `600 12px ${view.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [, , toward] = view.axes;
  for (const [letter, place] of SIDES) {
    const [x, y] = project(view, place);
    if (Math.abs(dot(toward, ...place.map((v, c) => v - CENTER[c]))) > 72) continue; // it would stand in the middle
    context.fillStyle = view.colors.muted;
    context.fillText(letter, Math.max(8, Math.min(width - 8, x)), Math.max(9, Math.min(height - 9, y)));
  }
  if (view.places.every(Number.isNaN)) {
    context.fillStyle = view.colors.ink;
    context.fillText("No region has coordinates: matrix and list only", width / 2, height / 2);
  }
  const focus = focusOf(view);
  context.globalAlpha = focus ? (view.dark ? 0.24 : 0.16) : 1;
  context.drawImage(view.net, 0, 0, width, height);
  context.globalAlpha = 1;
  if (focus) drawFocus(context, view, focus);
}

// What stands out: the selection, or what is pointed at as long as nothing is selected; a pointed edge is always added.
function focusOf(view) {
  const { selection, hover } = view;
  const regions = new Set(selection.regions), edges = selection.edge ? [edgeIndex(...selection.edge)] : [];
  if (!selection.edge && !regions.size && hover?.region !== undefined) regions.add(hover.region);
  if (hover?.network !== undefined && !regions.size) view.header.group.forEach((group, i) => group === hover.network && regions.add(i));
  if (hover?.edge) edges.push(edgeIndex(...hover.edge));
  if (!regions.size && !edges.length) return null;
  const own = selection.edge ? [] : [...view.drawn].filter((k) => regions.has(view.first[k]) || regions.has(view.second[k]));
  return { regions, edges, own, hover: hover?.region };
}

function drawFocus(context, view, { regions, edges, own, hover }) {
  strokeEdges(context, view, own, 1.9);
  const shown = new Set([...regions, ...[...own, ...edges].flatMap((k) => [view.first[k], view.second[k]])]);
  if (hover !== undefined) shown.add(hover);
  for (const k of edges) {
    const ends = [view.first[k], view.second[k]];
    if (ends.some((i) => Number.isNaN(view.at[3 * i]))) continue;
    for (const [color, width] of [[view.colors.paper, 7], [view.colors.signs[view.values[k] > 0 ? 1 : 0], 4]]) {
      line(context, view, ends, color, width);
    }
  }
  for (const region of view.byDepth()) if (shown.has(region)) drawRegion(context, view, region, regions.has(region));
  const partners = [...own].sort((a, b) => Math.abs(view.values[b]) - Math.abs(view.values[a])).flatMap((k) => [view.first[k], view.second[k]]);
  const named = new Set([...edges.flatMap((k) => [view.first[k], view.second[k]]), ...(hover !== undefined ? [hover] : []), ...(regions.size <= MOST_NAMED ? regions : []), ...(regions.size <= 2 ? partners : [])]);
  nameRegions(context, view, [...named].slice(0, MOST_NAMED));
}

function line(context, view, [i, j], color, width) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(view.at[3 * i], view.at[3 * i + 1]);
  context.lineTo(view.at[3 * j], view.at[3 * j + 1]);
  context.stroke();
}

// A handful of long paths, by sign and width, is much faster than a stroke for each edge.
function strokeEdges(context, view, edges, wider) {
  if (!edges.length) return;
  const low = Math.abs(view.values[view.drawn[view.drawn.length - 1]]), high = Math.abs(view.values[view.drawn[0]]);
  const paths = EDGE_WIDTHS.flatMap(() => [new Path2D(), new Path2D()]);
  for (const k of edges) {
    const i = 3 * view.first[k], j = 3 * view.second[k], value = view.values[k];
    if (Number.isNaN(view.at[i] + view.at[j])) continue;
    const share = high > low ? (Math.abs(value) - low) / (high - low) : 0.5;
    const path = paths[2 * Math.min(3, Math.floor(share * 4)) + (value > 0 ? 1 : 0)];
    path.moveTo(view.at[i], view.at[i + 1]);
    path.lineTo(view.at[j], view.at[j + 1]);
  }
  const thin = Math.min(1, Math.max(0.3, Math.sqrt(1200 / edges.length))); // many edges may not hide each other
  paths.forEach((path, p) => {
    const width = EDGE_WIDTHS[p >> 1] * wider;
    context.globalAlpha = thin * Math.min(0.95, (wider > 1 ? 0.5 : 0.3) + 0.25 * width);
    context.strokeStyle = view.colors.signs[p & 1];
    context.lineWidth = width;
    context.stroke(path);
  });
  context.globalAlpha = 1;
}

function radiusOf(view, region) {
  const most = view.header.names.length > 250 ? 5.5 : 7;
  return (2 + most * Math.sqrt(view.strength[region] / (view.strongest || 1))) * Math.sqrt(view.zoom);
}

function drawRegion(context, view, region, marked) {
  const [x, y, near] = view.at.subarray(3 * region, 3 * region + 3);
  const radius = radiusOf(view, region);
  context.beginPath();
  context.arc(x, y, radius + (marked ? 1.5 : 0), 0, 7);
  context.fillStyle = fade(view.networkColor(view.header.group[region]), view.colors.paper, marked ? 0 : Math.max(0, Math.min(0.4, 0.2 - near / 350)));
  context.fill();
  context.lineWidth = marked ? 2.5 : 0.9;
  context.strokeStyle = marked ? view.colors.mark : view.colors.rim;
  context.stroke();
}

function nameRegions(context, view, regions) {
  context.font = `600 12px ${view.font}`;
  context.textBaseline = "middle";
  const taken = [];
  for (const region of regions) {
    const [x, y] = view.at.subarray(3 * region, 3 * region + 2);
    if (Number.isNaN(x)) continue;
    const text = view.header.names[region], wide = context.measureText(text).width, gap = radiusOf(view, region) + 5;
    const left = x + gap + wide > view.frame.width - 4;
    const box = [left ? x - gap - wide : x + gap, y - 8, wide, 16];
    while (taken.some(([a, b, c, d]) => box[0] < a + c && a < box[0] + box[2] && box[1] < b + d && b < box[1] + box[3])) box[1] += 4;
    taken.push(box);
    if (box[1] > y - 4) { // moved away from its region: a thin line leads back
      context.lineWidth = 1;
      context.strokeStyle = view.colors.muted;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(left ? box[0] + wide : box[0] - 1, box[1] + 8);
      context.stroke();
    }
    context.textAlign = "left";
    context.lineWidth = 3.5;
    context.lineJoin = "round";
    context.strokeStyle = view.colors.paper;
    context.strokeText(text, box[0], box[1] + 8);
    context.fillStyle = view.colors.ink;
    context.fillText(text, box[0], box[1] + 8);
  }
}
