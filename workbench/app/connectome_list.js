// The list of regions beneath their networks, and what is known of the selection.

const MOST_PARTNERS = 10;

function buildList(view) {
  const { header, rows } = view;
  view.items = new Map();
  view.headings = [];
  const made = [];
  let at = 0;
  for (const { group, length } of view.spans) {
    const network = header.networks[group], heading = document.createElement("button");
    heading.type = "button";
    heading.className = "heading";
    heading.title = `Select all regions of ${network.name}`;
    heading.innerHTML = `<i></i><span>${escape(network.name)}</span><b>${length}</b>`;
    heading.style.setProperty("--own", view.networkColor(group));
    heading.addEventListener("click", () => choose(view, { network: group }, {}));
    const members = header.order.slice(at, at + length), block = document.createElement("div");
    block.setAttribute("role", "group");
    block.setAttribute("aria-label", network.name);
    block.append(heading, ...members.map((region) => buildRow(view, region, group)));
    view.headings.push({ block, members, words: network.name.toLowerCase() });
    made.push(block);
    at += length;
  }
  rows.replaceChildren(...made);
  view.items.get(header.order[0])?.setAttribute("tabindex", 0);
  search(view);
}

function buildRow(view, region, group) {
  const row = document.createElement("div");
  row.className = "row";
  row.setAttribute("role", "option");
  row.setAttribute("tabindex", -1);
  row.dataset.region = region;
  row.innerHTML = `<span>${escape(view.header.names[region])}</span><s></s>`;
  row.style.setProperty("--own", view.networkColor(group));
  if (Number.isNaN(view.places[3 * region])) {
    row.classList.add("unplaced");
    row.title = "no coordinates: listed, not drawn";
  }
  view.items.set(region, row);
  return row;
}

function search(view) {
  const wanted = view.search.value.trim().toLowerCase();
  for (const { block, members, words } of view.headings) {
    const whole = words.includes(wanted);
    let any = false;
    for (const region of members) {
      const hit = whole || view.header.names[region].toLowerCase().includes(wanted);
      view.items.get(region).hidden = !hit;
      any ||= hit;
    }
    block.hidden = !any;
  }
}

function fillStrengths(view) {
  for (const [region, row] of view.items) row.style.setProperty("--share", `${Math.round((100 * view.strength[region]) / (view.strongest || 1))}%`);
}

function markList(view) {
  const chosen = new Set(view.selection.edge ?? view.selection.regions);
  for (const [region, row] of view.items) row.setAttribute("aria-selected", chosen.has(region));
}

// Bring the first selected row into sight by scrolling the list only, never the page.
function scrollToChosen(view) {
  const first = (view.selection.edge ?? view.selection.regions)[0];
  const row = view.items.get(first);
  if (!row || row.hidden) return;
  const { rows } = view;
  if (row.offsetTop < rows.scrollTop + 26 || row.offsetTop + row.offsetHeight > rows.scrollTop + rows.clientHeight) rows.scrollTop = row.offsetTop - rows.clientHeight / 3;
}

function hoverList(view) {
  const wanted = new Set(view.hover?.edge ?? (view.hover?.region !== undefined ? [view.hover.region] : []));
  for (const region of view.hovered ?? []) view.items.get(region)?.classList.toggle("hover", wanted.has(region));
  for (const region of wanted) view.items.get(region)?.classList.add("hover");
  view.hovered = wanted;
}

function listenList(view) {
  const { rows } = view;
  const regionOf = (event) => event.target.closest?.(".row")?.dataset.region;
  rows.addEventListener("pointerover", (event) => pointAt(view, regionOf(event) === undefined ? null : { region: Number(regionOf(event)) }));
  rows.addEventListener("pointerleave", () => pointAt(view, null));
  rows.addEventListener("click", (event) => regionOf(event) !== undefined && choose(view, { region: Number(regionOf(event)) }, event));
  rows.addEventListener("keydown", (event) => {
    const region = regionOf(event);
    if (region === undefined) return;
    if (event.key === "Enter" || event.key === " ") choose(view, { region: Number(region) }, event);
    else if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) walkList(view, Number(region), event.key);
    else return;
    event.preventDefault();
  });
  view.search.addEventListener("input", () => search(view));
  view.search.addEventListener("keydown", (event) => {
    const first = [...view.items.values()].find((row) => !row.hidden);
    if (!first || !["ArrowDown", "Enter"].includes(event.key)) return;
    if (event.key === "Enter") choose(view, { region: Number(first.dataset.region) }, {});
    else focusRow(view, first);
    event.preventDefault();
  });
}

function walkList(view, region, key) {
  const seen = [...view.items.values()].filter((row) => !row.hidden);
  const at = seen.indexOf(view.items.get(region));
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: seen.length - 1 }[key];
  if (seen[next]) focusRow(view, seen[next]);
}

function focusRow(view, row) {
  for (const one of view.items.values()) one.setAttribute("tabindex", one === row ? 0 : -1);
  row.focus();
}

function fillDetail(view) {
  const { detail, selection, header } = view;
  const facts = document.createElement("div");
  facts.className = "facts";
  const words = selection.edge ? edgeFacts(view, selection.edge) : selection.regions.length ? regionFacts(view, selection.regions) : null;
  facts.innerHTML = words
    ? words.map((word, i) => (i ? `<span>${escape(word)}</span>` : `<b>${escape(word)}</b>`)).join("")
    : "Click a cell, an edge, a region or a network. Below the diagonal: all values; above it: what the brain shows.";
  const buttons = selection.edge
    ? selection.edge.map((region) => detailButton(view, { region }, header.names[region], null))
    : selection.regions.length === 1 ? partnersOf(view, selection.regions[0]).map((k) => partnerButton(view, selection.regions[0], k)) : [];
  detail.replaceChildren(facts, ...buttons);
}

function edgeFacts(view, [i, j]) {
  const { header } = view, k = edgeIndex(i, j), n = view.values.length;
  const words = [`${header.names[i]} – ${header.names[j]}`, `${header.quantity} ${short(view.values[k])}`];
  if (!Number.isNaN(view.values[k])) words.push(`number ${(view.rankOf[k] + 1).toLocaleString("en")} of ${n.toLocaleString("en")} by size`);
  const apart = Math.hypot(...[0, 1, 2].map((c) => view.places[3 * i + c] - view.places[3 * j + c]));
  if (!Number.isNaN(apart)) words.push(`${Math.round(apart)} mm apart`);
  return [...words, [...new Set([i, j].map((region) => header.networks[header.group[region]].name))].join(" – ")];
}

function regionFacts(view, regions) {
  const { header } = view;
  if (regions.length > 1) {
    const groups = [...new Set(regions.map((region) => header.networks[header.group[region]].name))];
    return [`${regions.length} regions`, groups.join(", ")];
  }
  const [region] = regions, place = [...view.places.subarray(3 * region, 3 * region + 3)];
  const n = [...view.drawn].filter((k) => view.first[k] === region || view.second[k] === region).length;
  return [
    header.names[region], header.networks[header.group[region]].name,
    Number.isNaN(place[0]) ? "no coordinates" : `${place.map((v) => v.toFixed(0).replace("-", "−")).join(", ")} mm`,
    `strength ${short(view.strength[region])} over ${n} connections drawn; its strongest:`,
  ];
}

function partnersOf(view, region) {
  const found = [];
  for (const k of view.ranked) {
    if (view.first[k] === region || view.second[k] === region) found.push(k);
    if (found.length === MOST_PARTNERS) break;
  }
  return found;
}

function partnerButton(view, region, k) {
  const other = view.first[k] === region ? view.second[k] : view.first[k];
  return detailButton(view, { edge: [region, other] }, view.header.names[other], view.values[k], other);
}

function detailButton(view, what, text, value, region = what.region) {
  const button = document.createElement("button");
  button.type = "button";
  button.innerHTML = `<i></i>${escape(text)}${value === null ? "" : ` <em>${short(value)}</em>`}`;
  button.style.setProperty("--own", view.networkColor(view.header.group[region]));
  if (value !== null) button.style.setProperty("--sign", view.colors.signs[value > 0 ? 1 : 0]);
  button.addEventListener("click", () => choose(view, what, {}));
  button.addEventListener("pointerenter", () => pointAt(view, what));
  button.addEventListener("pointerleave", () => pointAt(view, null));
  return button;
}
