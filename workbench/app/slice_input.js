// Pointer, wheel, keys and the tool bar.

function listen(viewer) {
  const { canvas } = viewer;
  canvas.onpointerdown = (event) => pointerDown(viewer, event);
  canvas.onpointermove = (event) => pointerMove(viewer, event);
  canvas.onpointerup = (event) => pointerUp(viewer, event);
  canvas.onpointercancel = (event) => viewer.pointers.delete(event.pointerId);
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.addEventListener("wheel", (event) => wheel(viewer, event), { passive: false });
  canvas.onkeydown = (event) => key(viewer, event);
  viewer.root.querySelectorAll("[data-tool]").forEach((element) => {
    const act = () => tool(viewer, element.dataset.tool, element);
    if (element.tagName === "BUTTON") element.onclick = act;
    else if (element.tagName === "SELECT") element.onchange = act;
    else element.oninput = act;
  });
}

function where(viewer, event) {
  const box = viewer.canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function panelAt(viewer, [x, y]) {
  return viewer.view?.layout?.panels.find((p) => x >= p.x && x <= p.x + p.w && y >= p.y && y <= p.y + p.h);
}

function pointerDown(viewer, event) {
  const at = where(viewer, event);
  const panel = panelAt(viewer, at);
  viewer.canvas.focus({ preventScroll: true });
  const course = viewer.view?.course;
  if (course && at[0] >= course.x && at[0] <= course.x + course.w && at[1] >= course.y && at[1] <= course.y + course.h) {
    return goToFrame(viewer, Math.round(((at[0] - course.x) / course.w) * (viewer.view.header.n_frames - 1)));
  }
  if (!panel) return;
  event.preventDefault();
  viewer.canvas.setPointerCapture(event.pointerId);
  viewer.plane = panel.plane;
  viewer.pointers.set(event.pointerId, at);
  viewer.spread = null;
  if (event.button === 0 && nearWipe(viewer, panel, at)) {
    viewer.drag = { panel, at, wipe: true };
    return;
  }
  viewer.drag = { panel, at, right: event.button === 2, middle: event.button === 1, level: viewer.view.level, width: viewer.view.width, center: [...viewer.view.center] };
  if (event.button === 0 && viewer.pointers.size === 1) moveCross(viewer, panel, at);
}

function pointerMove(viewer, event) {
  const { drag, view } = viewer;
  if (!drag || !viewer.pointers.has(event.pointerId)) {
    const here = where(viewer, event);
    viewer.canvas.style.cursor = nearWipe(viewer, panelAt(viewer, here), here) ? "ew-resize" : "";
    return;
  }
  const at = where(viewer, event);
  if (drag.wipe) return dragWipe(viewer, drag.panel, at);
  viewer.pointers.set(event.pointerId, at);
  if (viewer.pointers.size === 2) return pinch(viewer);
  const [dx, dy] = [at[0] - drag.at[0], at[1] - drag.at[1]];
  if (drag.right) {
    const width = drag.width * Math.exp(dx / 200);
    applyWindow(view, { width, level: drag.level - (dy / 300) * drag.width }, "own");
    remember("window:" + view.header.digest, { level: view.level, width: view.width });
    fillPresets(viewer);
  } else if (drag.middle) {
    const p = PLANES[drag.panel.plane];
    const k = view.layout.scale * view.zoom;
    view.center[p.h] = drag.center[p.h] - (direction(view, drag.panel.plane) * dx) / (view.header.spacing[p.h] * k);
    view.center[p.v] = drag.center[p.v] + dy / (view.header.spacing[p.v] * k);
  } else {
    moveCross(viewer, drag.panel, at);
  }
  draw(viewer);
}

function pointerUp(viewer, event) {
  const { drag } = viewer;
  viewer.pointers.delete(event.pointerId);
  if (!drag || viewer.pointers.size) return;
  viewer.drag = null;
  if (!drag.right && !drag.middle && !drag.wipe && viewer.spread === null) tellVoxel(viewer);
}

function tellVoxel(viewer) {
  const voxel = viewer.view.voxel.map((v) => v * viewer.view.header.step);
  if (String(voxel) === String(viewer.told)) return;
  viewer.told = voxel;
  viewer.tell(voxel);
}

function moveCross(viewer, panel, [x, y]) {
  const { view } = viewer;
  const p = PLANES[panel.plane];
  const [h, v] = toVoxel(view, panel, x, y);
  const voxel = [...view.voxel];
  voxel[p.h] = h;
  voxel[p.v] = v;
  view.voxel = clamp(view.header, voxel);
  draw(viewer);
}

function pinch(viewer) {
  const [a, b] = [...viewer.pointers.values()];
  const spread = Math.hypot(a[0] - b[0], a[1] - b[1]);
  if (viewer.spread) zoomBy(viewer, spread / viewer.spread, viewer.drag.panel, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
  viewer.spread = spread;
}

function zoomBy(viewer, factor, panel, at) {
  const { view } = viewer;
  const p = PLANES[panel.plane];
  const before = toVoxel(view, panel, ...at);
  view.zoom = Math.max(1, Math.min(16, view.zoom * factor));
  if (view.zoom === 1) view.center = view.header.shape.map((n) => (n - 1) / 2);
  else {
    const after = toVoxel(view, panel, ...at);
    view.center[p.h] += before[0] - after[0];
    view.center[p.v] += before[1] - after[1];
  }
  draw(viewer);
}

function wheel(viewer, event) {
  const at = where(viewer, event);
  const panel = panelAt(viewer, at);
  if (!panel) return;
  event.preventDefault();
  viewer.plane = panel.plane;
  const delta = (event.deltaY || event.deltaX) * (event.deltaMode === 1 ? 33 : 1);
  if (event.ctrlKey || event.metaKey) return zoomBy(viewer, Math.exp(-delta / 300), panel, at);
  viewer.wheel += delta;
  if (Math.abs(viewer.wheel) < 40) return;
  scroll(viewer, -Math.sign(viewer.wheel) * (event.shiftKey ? 10 : 1));
  viewer.wheel = 0;
}

function scroll(viewer, steps) {
  const { view } = viewer;
  const voxel = [...view.voxel];
  voxel[PLANES[viewer.plane].n] += steps;
  view.voxel = clamp(view.header, voxel);
  draw(viewer);
}

function goToFrame(viewer, frame) {
  const { view } = viewer;
  view.frame = Math.max(0, Math.min(view.header.n_frames - 1, frame));
  fillBar(viewer);
  draw(viewer);
}

function key(viewer, event) {
  const { view } = viewer;
  if (!view || event.ctrlKey || event.metaKey) return;
  const many = event.shiftKey ? 10 : 1;
  const step = { ArrowUp: 1, PageUp: 1, ArrowDown: -1, PageDown: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
  if (step && event.altKey) nudge(viewer, sideways, step * many);
  else if (step && sideways && view.header.n_frames > 1) goToFrame(viewer, view.frame + step * many);
  else if (step) scroll(viewer, step * many);
  else if (event.key === "Enter") tellVoxel(viewer);
  else if (event.key === "Escape") viewer.root.querySelector(".sheet").hidden = true;
  else if (event.key === "+" || event.key === "-") zoomAtCross(viewer, event.key === "+" ? 1.25 : 0.8);
  else if (view.header.second && event.key === " ") swapImages(viewer);
  else if (view.header.second && event.key >= "1" && event.key <= "9") chooseWay(viewer, waysOf(view.header)[event.key - 1]);
  else if ("xyz".includes(event.key)) showOnly(viewer, { x: "sagittal", y: "coronal", z: "axial" }[event.key]);
  else {
    const name = { r: "reset", c: "cross", o: "overlay", f: "outline", l: "side", n: "nose", i: "smooth", "?": "help" }[event.key];
    if (!name) return;
    tool(viewer, name);
  }
  event.preventDefault();
  event.stopPropagation();
}

function nudge(viewer, sideways, step) {
  const { view } = viewer;
  const p = PLANES[viewer.plane];
  const voxel = [...view.voxel];
  voxel[sideways ? p.h : p.v] += sideways ? step * direction(view, viewer.plane) : step;
  view.voxel = clamp(view.header, voxel);
  draw(viewer);
}

function zoomAtCross(viewer, factor) {
  const { view } = viewer;
  const panel = view.layout.panels.find((one) => one.plane === viewer.plane) ?? view.layout.panels[0];
  const p = PLANES[panel.plane];
  zoomBy(viewer, factor, panel, toScreen(view, panel, view.voxel[p.h], view.voxel[p.v]));
}

function showOnly(viewer, plane) {
  viewer.view.only = viewer.view.only === plane ? null : plane;
  viewer.plane = plane;
  draw(viewer);
}

function tool(viewer, name, element) {
  const { view } = viewer;
  if (!view) return;
  const sheet = viewer.root.querySelector(".sheet");
  const acts = {
    preset: () => choosePreset(viewer, element.value),
    time: () => { view.frame = +element.value; },
    opacity: () => { view.opacity = element.value / 100; },
    amount: () => setAmount(viewer, +element.value),
    threshold: () => { view.threshold = +element.value; colorLayers(view); },
    overlay: () => { view.overlays = !view.overlays; },
    outline: () => plainLabels(view.header).forEach((layer) => { layer.outline = !layer.outline; }),
    cross: () => { view.cross = !view.cross; },
    side: () => { view.radiological = !view.radiological; },
    nose: () => { view.noseLeft = !view.noseLeft; },
    smooth: () => { view.smooth = !view.smooth; },
    reset: () => reset(viewer),
    shot: () => save(viewer),
    help: () => { sheet.hidden = !sheet.hidden; },
    close: () => { sheet.hidden = true; viewer.canvas.focus(); },
  };
  acts[name]?.();
  if (name === "side" || name === "nose") {
    viewer.remembered = { radiological: view.radiological, noseLeft: view.noseLeft };
    remember("view", viewer.remembered);
  }
  fillBar(viewer);
  draw(viewer);
}

function choosePreset(viewer, value) {
  const { view } = viewer;
  if (value === "own") return;
  applyWindow(view, view.header.windows[+value], value);
  remember("window:" + view.header.digest, value === "0" ? null : { level: view.level, width: view.width });
}

function reset(viewer) {
  const { view } = viewer;
  Object.assign(view, { zoom: 1, only: null, frame: 0, threshold: firstThreshold(view.header), opacity: view.header.opacity, overlays: true, cross: true });
  view.hidden.clear();
  view.center = view.header.shape.map((n) => (n - 1) / 2);
  view.voxel = view.header.voxel ? clamp(view.header, view.header.voxel.map((v) => Math.floor(v / view.header.step))) : middle(view.header);
  choosePreset(viewer, "0");
  colorLayers(view);
  fillChips(viewer);
}

function fillBar(viewer) {
  const { view, root } = viewer;
  const { header } = view;
  const overlays = header.layers.slice(1);
  fillCompare(viewer);
  const find = (name) => root.querySelector(`[data-tool="${name}"]`);
  fillPresets(viewer);
  find("preset").parentElement.hidden = header.layers[0].kind === "rgb";
  root.querySelector(".opacity").hidden = !overlays.length;
  find("opacity").value = Math.round(view.opacity * 100);
  root.querySelector(".threshold").hidden = !overlays.some((layer) => layer.kind === "heat" && !layer.signed) || Boolean(header.second);
  find("threshold").value = view.threshold;
  find("overlay").hidden = !overlays.length;
  find("overlay").setAttribute("aria-pressed", view.overlays);
  find("outline").hidden = !overlays.some((layer) => layer.kind === "labels");
  find("outline").setAttribute("aria-pressed", plainLabels(header).some((layer) => layer.outline));
  find("cross").setAttribute("aria-pressed", view.cross);
  find("side").hidden = header.flat;
  find("side").textContent = view.radiological ? "R | L" : "L | R";
  find("side").setAttribute("aria-label", view.radiological ? "Radiological: left is drawn right" : "Neurological: left is drawn left");
  const time = root.querySelector(".time");
  time.hidden = header.n_frames < 2;
  find("time").max = header.n_frames - 1;
  find("time").value = view.frame;
  time.querySelector("output").textContent = `${header.frames[view.frame] + 1} / ${header.n_frames_full}`;
  if (viewer.chipsFor !== header) fillChips(viewer);
}

function fillPresets(viewer) {
  const { view, root } = viewer;
  const select = root.querySelector('[data-tool="preset"]');
  const names = view.header.windows.map((w, i) => new Option(w.name, String(i)));
  if (view.preset === "own") names.push(new Option("Own", "own"));
  select.replaceChildren(...names);
  select.value = view.preset;
}

// Label layers that change between outline and filled; a dashed one stays an outline beside others.
function plainLabels(header) {
  const labels = header.layers.filter((layer) => layer.kind === "labels");
  const plain = labels.filter((layer) => !layer.dashed);
  return plain.length ? plain : labels;
}

// A chip a layer (when there are several) and a chip a label of that name in any layer: press to hide or show.
function fillChips(viewer) {
  const { view, root } = viewer;
  const box = root.querySelector(".chips");
  const overlays = view.header.layers.slice(1).filter((layer) => !view.header.second || layer.kind === "labels");
  const chips = overlays.length > 1 ? overlays.map((layer) => chip(viewer, layer.name, onlyColor(view, layer), () => !layer.off, () => { layer.off = !layer.off; })) : [];
  const labels = new Map(overlays.filter((one) => one.kind === "labels").flatMap((layer) => layer.labels.map((label) => [label.name, label])));
  const same = overlays.length > 1 && overlays.every((layer) => onlyColor(view, layer)); // then colors tell layers apart, not labels
  for (const { name, color } of same && labels.size === 1 ? [] : labels.values()) {
    chips.push(chip(viewer, name, same ? null : color, () => !view.hidden.has(name), () => {
      if (!view.hidden.delete(name)) view.hidden.add(name);
      colorLayers(view);
    }));
  }
  viewer.chipsFor = view.header;
  box.hidden = !chips.length;
  box.replaceChildren(...chips);
}

// Where two images are compared: the color of all labels of a layer, if they share one.
function onlyColor(view, layer) {
  const colors = new Set(view.header.second && layer.kind === "labels" ? layer.labels.map((label) => label.color) : []);
  return colors.size === 1 ? [...colors][0] : null;
}

function chip(viewer, name, color, shown, toggle) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", shown());
  if (color) {
    const dot = document.createElement("i");
    dot.style.background = color;
    button.append(dot);
  }
  button.append(name);
  button.onclick = () => {
    toggle();
    button.setAttribute("aria-pressed", shown());
    draw(viewer);
  };
  return button;
}
