// The tree of KeyTree: the kernel tells of the nodes that are unfolded, the page lays them out as
// rows of which only those in sight exist, and says which those are.

const ROW = 24; // pixels; the style sheet says the same
const SPARE = 4;
const COLUMNS = ["Key", "Value", "Keys", "Changes", "TTL"];
const FLASH = 700; // milliseconds between two flashes of a row, at the least

function start() {
  return { root: null, nodes: new Map(), order: new Map(), selected: null, shape: 0 };
}

function apply(state, message) {
  if (message.kind === "whole") {
    state.nodes.clear();
    state.order.clear();
    state.root = message.root;
  }
  const now = Date.now();
  for (const node of message.nodes ?? []) {
    const before = state.nodes.get(node.id);
    node.at = now;
    node.changedAt = before && node.changes > before.changes ? now : before?.changedAt ?? 0;
    if (before?.open !== node.open || before?.more !== node.more) state.shape += 1;
    state.nodes.set(node.id, node);
  }
  for (const [id, children] of Object.entries(message.order ?? {})) {
    state.order.set(Number(id), children);
    state.shape += 1;
  }
  for (const id of message.gone ?? []) {
    state.nodes.delete(id);
    state.order.delete(id);
    state.shape += 1;
  }
  if ("selected" in message) state.selected = message.selected;
}

/** The rows from top to bottom: {node, level, place, of}, and {more: node} below a part. */
function layOut(state) {
  const rows = [];
  const add = (id, level, place, of) => {
    const node = state.nodes.get(id);
    if (node === undefined) return;
    rows.push({ id, level, place, of });
    if (!node.open) return;
    const children = state.order.get(id) ?? [];
    children.forEach((child, index) => add(child, level + 1, index + 1, children.length));
    if (node.more) rows.push({ id, level: level + 1, more: true });
  };
  if (state.root !== null) add(state.root, 1, 1, 1);
  return rows;
}

/** What names a row, wherever it is. */
function keyOf(row) {
  return row.more ? `more of ${row.id}` : row.id;
}

function render({ el, state, ask, model, update: updateSoon }) {
  el.classList.add("ew-tree");
  const heard = h("div", { class: "ew-heard", role: "status" });
  const head = h("div", { class: "ew-row ew-head", role: "row", "aria-rowindex": "1" },
    ...COLUMNS.map((column) => h("div", { role: "columnheader", class: "ew-cell" }, column)));
  const canvas = h("div", { class: "ew-canvas", role: "rowgroup" });
  const box = h("div", {
    class: "ew-box", role: "treegrid", tabindex: "0", "aria-label": "Keys",
    "aria-colcount": COLUMNS.length,
  }, h("div", { role: "rowgroup", class: "ew-headgroup" }, head), canvas);
  const refresh = button("Refresh", () => {
    ask({ ask: "refresh" });
    setText(heard, "Listed again");
  }, { title: "List the open folders again: of keys that nobody watches, changes are not told" });
  el.append(box, h("div", { class: "ew-bar" }, refresh), heard);
  const pool = rowPool(canvas, makeRow);
  let rows = [];
  let shape = -1;
  let active = 0; // index of the row that the keyboard is on
  let activeRow = null;
  let seen = "";

  const visible = () => Math.max(1, Math.floor((box.clientHeight - ROW) / ROW));

  function reveal(index) {
    const top = index * ROW;
    const room = box.clientHeight - ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
  }

  function toggle(row) {
    const node = state.nodes.get(row.id);
    if (row.more) ask({ ask: "more", node: row.id });
    else if (node?.folder) ask({ ask: node.open ? "fold" : "unfold", node: row.id });
  }

  function select(row) {
    if (row.more) ask({ ask: "more", node: row.id });
    else ask({ ask: "select", node: row.id });
  }

  function move(index) {
    active = Math.max(0, Math.min(rows.length - 1, index));
    activeRow = rows[active] ?? null;
    reveal(active);
  }

  box.addEventListener("scroll", updateSoon);
  box.addEventListener("keydown", (event) => {
    if (event.target !== box || event.ctrlKey || event.altKey || event.metaKey) return;
    const row = rows[active];
    if (row === undefined) return;
    const node = state.nodes.get(row.id);
    if (event.key === "ArrowDown") move(active + 1);
    else if (event.key === "ArrowUp") move(active - 1);
    else if (event.key === "PageDown") move(active + visible());
    else if (event.key === "PageUp") move(active - visible());
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(rows.length - 1);
    else if (event.key === "ArrowRight") {
      if (!row.more && node?.folder) {
        if (node.open) move(active + 1);
        else toggle(row);
      }
    } else if (event.key === "ArrowLeft") {
      if (!row.more && node?.folder && node.open && row.level > 1) toggle(row);
      else {
        let up = active - 1;
        while (up >= 0 && rows[up].level >= row.level) up -= 1;
        if (up >= 0) move(up);
      }
    } else if (event.key === "Enter") select(row);
    else if (event.key === " ") toggle(row);
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has other plans for these keys
    updateSoon();
  });

  canvas.addEventListener("click", (event) => {
    const element = event.target.closest(".ew-row");
    const row = element && rows[element.number];
    if (!row) return;
    active = element.number;
    activeRow = row;
    if (event.target.closest(".ew-twist")) toggle(row);
    else select(row);
    updateSoon();
  });
  canvas.addEventListener("dblclick", (event) => {
    const element = event.target.closest(".ew-row");
    const row = element && rows[element.number];
    if (row && !row.more && !event.target.closest(".ew-twist")) toggle(row);
  });

  const listening = ["height"];
  for (const name of listening) model.on(`change:${name}`, updateSoon);
  const timer = setInterval(updateSoon, 1000); // for the times that run down

  let told = "";
  function tell() {
    const node = state.selected === null ? undefined : state.nodes.get(state.selected);
    const text = node === undefined ? "" : node.id === state.root ? "All keys chosen" : `Chosen: ${node.name}`;
    if (told !== "" && text !== told) setText(heard, text);
    told = text;
  }

  return {
    update() {
      const height = `${(model.get("height") + 1) * ROW + 2}px`;
      if (box.style.height !== height) box.style.height = height;
      if (shape !== state.shape) {
        shape = state.shape;
        rows = layOut(state);
        if (activeRow !== null) { // the same node, wherever it is now
          const at = rows.findIndex((row) => row.id === activeRow.id && row.more === activeRow.more);
          active = at < 0 ? Math.min(active, Math.max(0, rows.length - 1)) : at;
        }
      }
      canvas.style.height = `${rows.length * ROW}px`;
      setAttribute(box, "aria-rowcount", rows.length + 1);
      const from = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
      const to = Math.min(rows.length, from + visible() + 2 * SPARE);
      const hasFocus = document.activeElement === box;
      const visibleRows = rows.slice(from, to);
      pool.show(visibleRows.map(keyOf), (element, place) => {
        element.number = from + place;
        fillRow(element, visibleRows[place], from + place, state, hasFocus && from + place === active);
      });
      setAttribute(box, "aria-activedescendant", (rows[active] && pool.of(keyOf(rows[active]))?.id) ?? null);
      const inSight = visibleRows.filter((row) => !row.more).map((row) => row.id);
      const text = inSight.join();
      if (text !== seen) {
        seen = text;
        ask({ ask: "see", nodes: inSight });
      }
      tell();
    },
    dispose() {
      clearInterval(timer);
      for (const name of listening) model.off(`change:${name}`, updateSoon);
    },
  };
}

function makeRow() {
  const twist = h("span", { class: "ew-twist", "aria-hidden": "true" });
  const name = h("span", { class: "ew-name" });
  const cells = COLUMNS.map((_, index) =>
    h("div", { role: "gridcell", class: `ew-cell ew-col-${index}` }));
  cells[0].append(twist, name);
  const sign = h("span", { class: "ew-sign", "aria-hidden": "true" });
  const kind = h("span", { class: "ew-heard" });
  const value = h("span", { class: "ew-value" });
  cells[1].append(sign, kind, value);
  const row = h("div", { class: "ew-row", role: "row" }, ...cells);
  Object.assign(row, { cells, twist, name, sign, kind, value, flashed: 0 });
  return row;
}

function fillRow(element, row, index, state, active) {
  const node = state.nodes.get(row.id);
  element.style.top = `${index * ROW}px`;
  element.style.setProperty("--ew-level", row.level - 1);
  setAttribute(element, "aria-rowindex", index + 2);
  setAttribute(element, "aria-level", row.level);
  setAttribute(element, "data-active", active);
  if (row.more) {
    element.className = "ew-row ew-more";
    for (const name of ["aria-expanded", "aria-setsize", "aria-posinset"]) setAttribute(element, name, null);
    setAttribute(element, "aria-selected", "false");
    setText(element.twist, "");
    setText(element.name, node?.loading ? "loading …" : "more …");
    setText(element.value, node?.note ?? "");
    for (const cell of [element.sign, element.kind, ...element.cells.slice(2)]) setText(cell, "");
    return;
  }
  const leaf = node.folder ? "" : " ew-leaf";
  element.className = `ew-row ew-${node.kind || "quiet-node"}${leaf}${node.gone ? " ew-gone" : ""}`;
  setAttribute(element, "aria-expanded", node.folder ? String(node.open) : null);
  setAttribute(element, "aria-setsize", row.of);
  setAttribute(element, "aria-posinset", row.place);
  setAttribute(element, "aria-selected", String(state.selected === row.id));
  setText(element.twist, node.folder ? (node.open ? "▾" : "▸") : "");
  setText(element.name, row.id === state.root ? node.name || "all keys" : node.name === "" ? "(its own name)" : node.name);
  setText(element.sign, node.kind ? `${SIGNS[node.kind]} ` : "");
  setText(element.kind, node.kind ? `${node.kind}: ` : "");
  setText(element.value, valueOf(node));
  setText(element.cells[2], node.keys === null ? "" : count(node.keys));
  setText(element.cells[3], node.changes ? count(node.changes) : "");
  setText(element.cells[4], node.left === null ? "" : lifeLeft(node));
  if (node.changedAt > element.flashed && element.flashedFor === node.id) flash(element, node);
  element.flashedFor = node.id;
  element.flashed = Math.max(element.flashed, node.changedAt);
}

function valueOf(node) {
  if (node.note) return node.note;
  if (node.folder) {
    if (node.loading) return "loading …";
    if (!node.kind) return "";
    return node.value === null ? node.latest : `${node.latest} = ${node.value}`;
  }
  return node.value ?? "";
}

function lifeLeft(node) {
  const left = Math.max(0, node.left - (Date.now() - node.at) / 1000);
  if (left < 100) return `${Math.ceil(left)} s`;
  return left < 6000 ? `${Math.round(left / 60)} min` : `${Math.round(left / 3600)} h`;
}

/** Light a row up for a moment; in a flood, not again before that has faded. */
function flash(element, node) {
  if (node.changedAt - (element.lit ?? 0) < FLASH) return;
  element.lit = node.changedAt;
  element.animate?.(
    [{ backgroundColor: "color-mix(in srgb, currentColor 22%, transparent)" }, { backgroundColor: "transparent" }],
    { duration: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : FLASH });
}

export default live({ start, apply, render });
