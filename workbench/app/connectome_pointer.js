// Pointing at the brain, turning it, looking from a side.

function underBrain(view, x, y) {
  let best = null, nearest = 9;
  for (const i of view.byDepth()) {
    const away = Math.hypot(view.at[3 * i] - x, view.at[3 * i + 1] - y) - radiusOf(view, i);
    if (away <= Math.min(nearest, 3)) [best, nearest] = [{ region: i }, Math.max(away, 0)];
  }
  if (best) return best;
  nearest = 5;
  const focus = focusOf({ ...view, hover: null }); // with a selection only its own edges stand out enough to be hit
  for (const k of focus && focus.own.length ? focus.own : view.drawn) {
    const i = 3 * view.first[k], j = 3 * view.second[k], [ax, ay] = [view.at[i], view.at[i + 1]];
    const [dx, dy] = [view.at[j] - ax, view.at[j + 1] - ay];
    const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
    const away = Math.hypot(ax + along * dx - x, ay + along * dy - y);
    if (away < nearest) [best, nearest] = [{ edge: [view.first[k], view.second[k]] }, away];
  }
  return best;
}

function look(view, name) {
  view.turn = [...VIEWS[name]];
  view.zoom = 1;
  view.stale = true;
  draw(view);
}

function turnBy(view, across, up) {
  view.turn = [view.turn[0] - across, Math.max(-90, Math.min(90, view.turn[1] + up))];
  view.stale = true;
  draw(view);
}

function zoomBy(view, factor) {
  view.zoom = Math.max(0.7, Math.min(5, view.zoom * factor));
  view.stale = true;
  draw(view);
}

function listenBrain(view) {
  const { brain } = view;
  let held = null;
  brain.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, moved: false };
    brain.setPointerCapture(event.pointerId);
  });
  brain.addEventListener("pointermove", (event) => {
    if (!held) {
      const what = underBrain(view, event.offsetX, event.offsetY);
      brain.classList.toggle("over", what !== null);
      return pointAt(view, what, event);
    }
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    if (!held.moved && Math.hypot(dx, dy) < 4) return;
    Object.assign(held, { x: event.clientX, y: event.clientY, moved: true });
    view.turning = true;
    brain.classList.add("turning");
    pointAt(view, null);
    turnBy(view, dx * 0.5, dy * 0.5);
  });
  const release = (event) => {
    const still = held && !held.moved;
    held = null;
    view.turning = false;
    brain.classList.remove("turning");
    if (still && event.type === "pointerup") choose(view, underBrain(view, event.offsetX, event.offsetY), event);
    else turnBy(view, 0, 0);
  };
  brain.addEventListener("pointerup", release);
  brain.addEventListener("pointercancel", release);
  brain.addEventListener("pointerleave", () => pointAt(view, null));
  brain.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && view.root.activeElement !== brain) return; // else the page scrolls, as everywhere
    event.preventDefault();
    zoomBy(view, Math.exp(-event.deltaY * 0.002));
  }, { passive: false });
  brain.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
    if (way) turnBy(view, ...way);
    else if (event.key === "+" || event.key === "=") zoomBy(view, 1.2);
    else if (event.key === "-") zoomBy(view, 1 / 1.2);
    else if (VIEWS[event.key.toLowerCase()] && !event.ctrlKey && !event.metaKey) look(view, event.key.toLowerCase());
    else return;
    event.preventDefault();
  });
}
