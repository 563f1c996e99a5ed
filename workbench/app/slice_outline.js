// Labels as outlines: closed lines along the edges of voxels, drawn at the screen's own resolution.

// The loops around each label of one plane of codes (rows × columns, row 0 on top): code → list of loops of [x, y].
// Edges run with the label on their right; where two loops touch at a corner they are kept apart.
function outlinesOf(codes, width, height) {
  const loops = new Map();
  const at = (c, r) => (c < 0 || r < 0 || c >= width || r >= height ? 0 : codes[r * width + c]);
  const seen = new Set();
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      const code = codes[r * width + c];
      if (!code || at(c, r - 1) === code || seen.has(r * width + c)) continue;
      const loop = follow(at, code, c, r, seen, width);
      if (!loops.has(code)) loops.set(code, []);
      loops.get(code).push(loop);
    }
  }
  return loops;
}

// Walk around a label from the upper edge of a voxel, turning right where the label allows it not to be crossed.
function follow(at, code, column, row, seen, width) {
  const steps = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right along an upper edge, down along a right one, and so on
  let [x, y, way] = [column, row, 0];
  const loop = [[x, y]];
  do {
    if (way === 0) seen.add(y * width + x);
    x += steps[way][0];
    y += steps[way][1];
    // The two voxels ahead of the corner, on the right hand (inside so far) and on the left hand.
    const [rx, ry] = [[x, y], [x - 1, y], [x - 1, y - 1], [x, y - 1]][way];
    const [lx, ly] = [[x, y - 1], [x, y], [x - 1, y], [x - 1, y - 1]][way];
    const turn = at(rx, ry) !== code ? 1 : at(lx, ly) === code ? 3 : 0;
    if (turn) loop.push([x, y]);
    way = (way + turn) % 4;
  } while (x !== column || y !== row || way !== 0);
  return loop;
}

// One plane of a layer's codes, as it lies on the screen.
function planeCodes(header, layer, plane, index, mirror) {
  const { h, v, n } = PLANES[plane];
  const size = header.shape;
  const stride = [size[1] * size[2], size[2], 1];
  const [width, height] = [size[h], size[v]];
  const codes = new Uint16Array(width * height);
  for (let row = 0; row < height; row++) {
    const line = index * stride[n] + (height - 1 - row) * stride[v];
    for (let column = 0; column < width; column++) {
      codes[row * width + column] = layer.codes[line + (mirror ? width - 1 - column : column) * stride[h]];
    }
  }
  return { codes, width, height };
}

function paintOutlines(context, view, layer, panel, mirror, [x0, y0, w, h]) {
  const index = view.voxel[PLANES[panel.plane].n];
  const { codes, width, height } = planeCodes(view.header, layer, panel.plane, index, mirror);
  const [kx, ky] = [w / width, h / height];
  context.lineJoin = "round";
  const labels = new Map(layer.labels.map((label) => [label.code, label]));
  for (const [code, loops] of outlinesOf(codes, width, height)) {
    const { name, color } = labels.get(code);
    if (view.hidden.has(name)) continue;
    const path = new Path2D();
    for (const loop of loops) {
      loop.forEach(([x, y], i) => (i ? path.lineTo(x0 + x * kx, y0 + y * ky) : path.moveTo(x0 + x * kx, y0 + y * ky)));
      path.closePath();
    }
    context.globalAlpha = isMap(view) ? 0.45 : Math.min(1, 0.35 + view.opacity);
    stroke(context, path, "rgba(10, 13, 18, 0.7)", 2.8, []);
    stroke(context, path, color, 1.6, []);
    if (layer.dashed) stroke(context, path, "#ffffff", 1.4, [3, 4]); // told from a plain outline without color too
  }
}

function stroke(context, path, color, width, dash) {
  context.setLineDash(dash);
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke(path);
  context.setLineDash([]);
}
