// The matrix, rows and columns ordered by network: all values below the diagonal, above it only what the brain shows.

const BAR = 9, GAP = 3; // px

function matrixBox(view) {
  const side = view.matrix.clientWidth;
  const n = view.header.names.length;
  return { side, at: BAR + GAP, cell: (side - BAR - GAP) / n, n };
}

// Colors of all cells, one pixel each; made anew only when the threshold or the theme changes.
function paintCells(view) {
  const { header, values, rankOf, nShown } = view;
  const n = header.names.length, order = header.order;
  const sheet = view.cells ?? (view.cells = document.createElement("canvas"));
  if (sheet.width !== n) [sheet.width, sheet.height] = [n, n];
  const context = sheet.getContext("2d"), image = context.createImageData(n, n);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      if (row === column) continue;
      const k = edgeIndex(order[row], order[column]);
      const value = values[k];
      if (Number.isNaN(value) || (column > row && rankOf[k] >= nShown)) continue;
      pixels[row * n + column] = view.table[Math.max(0, Math.min(255, Math.round(127.5 + (127.5 * value) / header.limit)))];
    }
  }
  context.putImageData(image, 0, 0);
}

function drawMatrix(view) {
  const { side, at, cell, n } = matrixBox(view);
  const context = sized(view.matrix, side, side);
  const whole = cell * n;
  context.fillStyle = view.colors.wash;
  context.fillRect(at, at, whole, whole);
  context.imageSmoothingEnabled = cell < 1.5 / (window.devicePixelRatio || 1);
  context.drawImage(view.cells, at, at, whole, whole);
  let start = 0;
  view.spans.forEach(({ group, length }) => {
    context.fillStyle = view.networkColor(group);
    context.fillRect(0, at + start * cell, BAR, length * cell);
    context.fillRect(at + start * cell, 0, length * cell, BAR);
    if (start) {
      context.fillStyle = view.colors.line;
      context.fillRect(at + start * cell - 0.5, at, 1, whole);
      context.fillRect(at, at + start * cell - 0.5, whole, 1);
    }
    start += length;
  });
  markMatrix(context, view, at, cell, whole);
}

function markMatrix(context, view, at, cell, whole) {
  const { selection, hover, position } = view;
  const thick = Math.max(cell, 3);
  const band = (region, color, alpha, wide = thick) => {
    const from = at + position[region] * cell - (wide - cell) / 2;
    context.globalAlpha = alpha;
    context.fillStyle = color;
    context.fillRect(at, from, whole, wide);
    context.fillRect(from, at, wide, whole);
    context.globalAlpha = 1;
  };
  const ring = ([i, j], color, reach) => {
    for (const [row, column] of [[i, j], [j, i]]) {
      const size = Math.max(cell, 5) + reach;
      context.lineWidth = 2;
      context.strokeStyle = color;
      const x = at + (position[column] + 0.5) * cell - size / 2, y = at + (position[row] + 0.5) * cell - size / 2;
      context.strokeRect(x, y, size, size);
    }
  };
  if (selection.edge) {
    for (const region of selection.edge) band(region, view.colors.mark, 0.22);
    ring(selection.edge, view.colors.mark, 4);
  } else if (selection.regions.length <= 3) {
    for (const region of selection.regions) outline(context, view, at, cell, whole, region);
  } else {
    for (const region of selection.regions) band(region, view.colors.mark, 0.1, cell); // no wider than a cell: they may lie side by side
  }
  if (hover?.edge) {
    for (const region of hover.edge) band(region, view.colors.ink, 0.1);
    ring(hover.edge, view.colors.ink, 2);
  } else if (hover?.region !== undefined) band(hover.region, view.colors.ink, 0.16);
}

// A selected region's row and column stay readable: only their borders are drawn.
function outline(context, view, at, cell, whole, region) {
  const from = at + view.position[region] * cell, thick = Math.max(cell, 3);
  context.strokeStyle = view.colors.mark;
  context.lineWidth = 1.5;
  context.strokeRect(at, from - (thick - cell) / 2 - 0.75, whole, thick + 1.5);
  context.strokeRect(from - (thick - cell) / 2 - 0.75, at, thick + 1.5, whole);
}

// What lies under a point of the matrix: an edge, or the network whose bar it is.
function underMatrix(view, x, y) {
  const { at, cell, n } = matrixBox(view);
  const column = Math.floor((x - at) / cell), row = Math.floor((y - at) / cell);
  const inside = (k) => k >= 0 && k < n;
  if (x < BAR && inside(row)) return { network: view.header.group[view.header.order[row]] };
  if (y < BAR && inside(column)) return { network: view.header.group[view.header.order[column]] };
  if (!inside(row) || !inside(column)) return null;
  const [i, j] = [view.header.order[row], view.header.order[column]];
  return i === j ? { region: i } : { edge: [i, j] };
}

function listenMatrix(view) {
  const { matrix } = view;
  matrix.addEventListener("pointermove", (event) => pointAt(view, underMatrix(view, event.offsetX, event.offsetY), event));
  matrix.addEventListener("pointerleave", () => pointAt(view, null));
  matrix.addEventListener("click", (event) => choose(view, underMatrix(view, event.offsetX, event.offsetY), event));
  matrix.addEventListener("blur", () => pointAt(view, null));
  matrix.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const n = view.header.names.length, order = view.header.order;
    if (way) {
      const step = event.shiftKey ? 10 : 1;
      const at = view.cursor ?? [1, -step];
      view.cursor = at.map((k, axis) => Math.max(0, Math.min(n - 1, k + step * way[axis])));
      const [i, j] = view.cursor.map((k) => order[k]);
      pointAt(view, i === j ? { region: i } : { edge: [i, j] });
      view.status.textContent = view.hover ? told(view, view.hover).join(", ") : "";
    } else if (event.key === "Enter" || event.key === " ") choose(view, view.hover, event);
    else return;
    event.preventDefault();
  });
}
