// The live table of EventLog. Only the rows in sight exist in the page; the kernel numbers all rows
// of a filter ("epoch"), sends the newest, and gives others when they are asked for.

const ROW = 24; // pixels; the style sheet says the same
const SPARE = 6; // rows made above and below those in sight
const KEPT = 3000; // rows that the page remembers
const COLUMNS = ["Time", "Revision", "Type", "Key", "Value", "Lease"];
const KINDS = ["created", "modified", "deleted", "expired", "gap", "connection"];

function start() {
  return {
    epoch: 0, first: 0, end: 0, read: {}, missed: 0, behind: 0, busy: false, paused: false, limit: 0,
    rows: new Map(),
    opened: null,
    exports: new Map(), // id -> {parts, done}
  };
}

function apply(state, message, buffers) {
  if ("epoch" in message && message.epoch !== state.epoch) state.rows.clear();
  for (const name of ["epoch", "first", "end", "read", "missed", "behind", "busy", "paused", "limit"]) {
    if (name in message) state[name] = message[name];
  }
  for (const row of [...(message.rows ?? []), ...(message.answer ?? [])]) {
    state.rows.delete(row.number); // so that it counts as fresh
    state.rows.set(row.number, row);
  }
  while (state.rows.size > KEPT) state.rows.delete(state.rows.keys().next().value);
  if ("opened" in message) takeUp(state, { opened: message.opened });
  if ("export" in message) takePart(state, message.export, buffers);
}

/** Gather the parts of a file; the view that asked for it saves it. */
function takePart(state, about, buffers) {
  const file = state.exports.get(about.id);
  if (file === undefined) return; // another page's
  file.parts.push(...buffers);
  if (about.last) {
    state.exports.delete(about.id);
    const address = URL.createObjectURL(new Blob(file.parts, { type: about.type }));
    h("a", { href: address, download: about.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    file.done();
  }
}

function render({ el, state, ask, model, update: updateSoon }) {
  el.classList.add("ew-log");
  const say = announcer(el);
  const tools = toolbar(el, state, ask, model, say);
  const table = grid(el, state, ask, model, updateSoon, () => pane.expect());
  const pane = detailsPane(el, ask, say, () => table.focus());
  const listening = ["key", "text", "types", "within", "only", "between", "until", "paused", "follow", "height"];
  for (const name of listening) model.on(`change:${name}`, updateSoon);
  return {
    update() {
      tools.update();
      table.update();
      pane.update(state.opened);
    },
    dispose() {
      for (const name of listening) model.off(`change:${name}`, updateSoon);
      table.dispose();
      tools.dispose();
    },
  };
}

/** Tell people who listen what they cannot see. */
function announcer(el) {
  const heard = h("div", { class: "ew-heard", role: "status" });
  el.append(heard);
  return (text) => setText(heard, text);
}

function toolbar(el, state, ask, model, say) {
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const fields = ["key", "text"].map((name) => {
    const field = h("input", {
      type: "search", class: "ew-field", spellcheck: "false", autocomplete: "off",
      placeholder: name === "key" ? "part of a key, or a * b" : "part of a value",
    });
    const entry = { name, field, typing: false }; // typing: what it says was not sent yet
    const send = later(() => {
      entry.typing = false;
      set(name, field.value);
    }, 150);
    field.addEventListener("input", () => {
      entry.typing = true;
      send();
    });
    return entry;
  });
  const kinds = KINDS.map((kind) => {
    const toggle = button(`${SIGNS[kind]} ${kind}`, () => {
      const now = model.get("types");
      set("types", KINDS.filter((each) => (each === kind) !== now.includes(each)));
    }, { class: `ew-button ew-kind ew-${kind}` });
    return { kind, toggle };
  });
  const places = ["within", "only"].map((name) => ({
    name, chip: button("", () => set(name, ""), { class: "ew-button ew-chip" }),
  }));
  const between = button("", () => set("between", null));
  const until = button("", () => set("until", null));
  const pause = button("Pause", () => set("paused", !model.get("paused")));
  const follow = button("Follow", () => set("follow", !model.get("follow")), {
    title: "Keep the newest row in sight",
  });
  const saves = [["CSV", "csv"], ["JSON lines", "json"]].map(([label, format]) =>
    button(label, () => {
      const id = Math.floor(Math.random() * 2 ** 50);
      saving.disabled = true;
      const free = setTimeout(() => { saving.disabled = false; }, 60000);
      state.exports.set(id, {
        parts: [],
        done() {
          clearTimeout(free);
          saving.disabled = false;
          say(`Saved as ${label}`);
        },
      });
      ask({ ask: "export", format, id });
    }, { "aria-label": `Save what is shown as ${label}` }));
  const saving = h("fieldset", { class: "ew-bar ew-plain" },
    h("legend", { class: "ew-heard" }, "Save"), h("span", { "aria-hidden": "true" }, "Save"), ...saves);
  const counted = h("span", { class: "ew-quiet ew-counted" });
  el.append(
    h("div", { class: "ew-bar" },
      labelled("Key", fields[0].field), labelled("Value", fields[1].field), ...places.map((each) => each.chip), between, until,
      h("span", { class: "ew-space" }), pause, follow),
    h("div", { class: "ew-bar" },
      h("div", { class: "ew-bar", role: "group", "aria-label": "Types shown" },
        ...kinds.map((each) => each.toggle)),
      h("span", { class: "ew-space" }), saving),
    h("div", { class: "ew-bar" }, counted),
  );
  let told = "";
  const tell = () => {
    const text = summary(state, model);
    if (text !== told) say(text);
    told = text;
  };
  const timer = setInterval(tell, 5000);
  return {
    update() {
      for (const { name, field, typing } of fields) {
        if (!typing && document.activeElement !== field) field.value = model.get(name);
      }
      for (const { kind, toggle } of kinds) {
        setAttribute(toggle, "aria-pressed", String(model.get("types").includes(kind)));
      }
      for (const { name, chip } of places) {
        const chosen = `${name} ${model.get(name)}`;
        chip.hidden = !model.get(name);
        setText(chip, `✕ ${chosen}`);
        setAttribute(chip, "title", chosen);
        setAttribute(chip, "aria-label", `Show all keys again, not ${chosen}`);
      }
      const times = model.get("between");
      between.hidden = !times;
      if (times) {
        const range = `${clock(times[0], 0)} to ${clock(times[1], 0)}`;
        setText(between, `✕ ${range}`);
        setAttribute(between, "aria-label", `Show all times again, not only ${range}`);
      }
      const last = model.get("until");
      until.hidden = last === null;
      if (last !== null) {
        setText(until, `up to revision ${last} ✕`);
        setAttribute(until, "aria-label", `Show later changes again, not only those up to revision ${last}`);
      }
      const paused = model.get("paused");
      setText(pause, paused ? "Resume" : "Pause");
      setAttribute(follow, "aria-pressed", String(model.get("follow")));
      setText(counted, summary(state, model));
    },
    dispose() {
      clearInterval(timer);
    },
  };
}

function summary(state, model) {
  const read = Object.values(state.read).reduce((sum, each) => sum + each, 0);
  const parts = [`${count(state.end - state.first)} shown of ${count(read)}`];
  if (state.paused) parts.push(`paused, ${count(state.behind)} waiting`);
  else if (model.get("paused")) parts.push("pausing …"); // the kernel has not heard of it yet
  else if (state.busy) parts.push(`${count(state.behind)} to look at`);
  if (state.missed) parts.push(`${count(state.missed)} missed`);
  if (state.first) parts.push(`the journal keeps ${count(state.limit)}`);
  return parts.join(" · ");
}

function grid(el, state, ask, model, updateSoon, opening) {
  const head = h("div", { class: "ew-row ew-head", role: "row", "aria-rowindex": "1" },
    ...COLUMNS.map((column) => h("div", { role: "columnheader", class: "ew-cell" }, column)));
  const canvas = h("div", { class: "ew-canvas", role: "rowgroup" });
  const empty = h("div", { class: "ew-quiet ew-empty" }, "No change yet.");
  const box = h("div", {
    class: "ew-box", role: "grid", tabindex: "0", "aria-label": "Events",
    "aria-colcount": COLUMNS.length,
  }, h("div", { role: "rowgroup", class: "ew-headgroup" }, head), canvas);
  el.append(h("div", { class: "ew-frame" }, box, empty));

  const pool = rowPool(canvas, () => {
    const cells = COLUMNS.map(() => h("div", { role: "gridcell", class: "ew-cell" }));
    const row = h("div", { class: "ew-row", role: "row" }, ...cells);
    row.cells = cells;
    return row;
  });
  let active = null; // number of the row that the keyboard is on
  let frozen = null; // while the page is paused and the kernel is not yet: where we stopped
  let shownFirst = 0;
  let epoch = state.epoch;
  let setTop = 0;
  let askedAt = 0;
  let again = null;

  const end = () => (frozen === null ? state.end : Math.max(Math.min(state.end, frozen), state.first));
  const visible = () => Math.max(1, Math.floor((box.clientHeight - ROW) / ROW));
  const scrollTo = (top) => {
    box.scrollTop = top;
    setTop = box.scrollTop;
  };

  function follow(on) {
    if (model.get("follow") !== on) {
      model.set("follow", on);
      model.save_changes();
    }
  }

  box.addEventListener("scroll", () => {
    if (Math.abs(box.scrollTop - setTop) < 2) return; // our own doing
    setTop = box.scrollTop;
    const below = box.scrollHeight - box.clientHeight - box.scrollTop;
    follow(below < 2);
    updateSoon();
  });

  box.addEventListener("keydown", (event) => {
    if (event.target !== box || event.ctrlKey || event.altKey || event.metaKey) return;
    const last = end() - 1;
    const page = visible();
    const from = active ?? last + (event.key === "ArrowUp" || event.key === "PageUp" ? 1 : 0);
    const steps = {
      ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + page, PageUp: from - page,
      Home: state.first, End: last,
    };
    if (event.key in steps) {
      if (last >= state.first) {
        active = Math.max(state.first, Math.min(last, steps[event.key]));
        follow(active === last && event.key !== "ArrowUp");
        reveal(active);
      }
    } else if (event.key === "Enter" || event.key === " ") {
      if (active !== null) open(active);
    } else if (event.key === "Escape") {
      ask({ ask: "close" });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has other plans for these keys
    updateSoon();
  });

  canvas.addEventListener("click", (event) => {
    const row = event.target.closest(".ew-row");
    if (row?.number === undefined) return;
    active = row.number;
    open(active);
    updateSoon();
  });

  function open(number) {
    opening();
    ask({ ask: "open", epoch, number }); // of what is drawn: that is what they have pointed at
  }

  function reveal(number) {
    const top = (number - state.first) * ROW;
    const room = box.clientHeight - ROW;
    if (top < box.scrollTop) scrollTo(top);
    else if (top + ROW > box.scrollTop + room) scrollTo(top + ROW - room);
  }

  function fetch(from, to) {
    const missing = [];
    for (let number = from; number < to; number += 1) {
      if (!state.rows.has(number)) missing.push(number);
    }
    if (missing.length === 0) return;
    const now = Date.now();
    if (now - askedAt > 150) {
      askedAt = now;
      ask({
        ask: "rows", epoch: state.epoch, start: missing[0], stop: missing[missing.length - 1] + 1,
      });
    }
    // It may have been asked for in vain: the row was forgotten, or the kernel has no time.
    if (again === null) {
      again = setTimeout(() => {
        again = null;
        updateSoon();
      }, 500);
    }
  }

  function update() {
    if (state.epoch !== epoch) {
      epoch = state.epoch;
      active = null;
      frozen = null;
      shownFirst = state.first;
    }
    if (!model.get("paused") || state.paused) frozen = null;
    else if (frozen === null) frozen = state.end;

    const height = `${(model.get("height") + 1) * ROW + 2}px`;
    if (box.style.height !== height) box.style.height = height;
    const total = end() - state.first;
    empty.hidden = total > 0;
    const any = Object.values(state.read).some((each) => each > 0);
    setText(empty, state.busy ? "Looking …" : any ? "No change matches." : "No change yet.");
    canvas.style.height = `${total * ROW}px`;
    setAttribute(box, "aria-rowcount", total + 1);
    if (model.get("follow")) {
      scrollTo(total * ROW);
    } else if (state.first !== shownFirst) {
      scrollTo(Math.max(0, box.scrollTop - (state.first - shownFirst) * ROW)); // stay where we are
    }
    shownFirst = state.first;

    const from = Math.max(state.first, state.first + Math.floor(box.scrollTop / ROW) - SPARE);
    const to = Math.min(end(), from + visible() + 2 * SPARE);
    const numbers = Array.from({ length: Math.max(0, to - from) }, (_, place) => from + place);
    pool.show(numbers, (row, place) => {
      row.number = numbers[place];
      fillRow(row, row.number, state.rows.get(row.number), state.first, active === row.number);
    });
    if (active !== null && active < state.first) active = null;
    const current = active === null ? undefined : pool.of(active);
    setAttribute(box, "aria-activedescendant", current?.id ?? null);
    fetch(from, to);
  }

  return {
    update,
    focus: () => box.focus(),
    dispose: () => clearTimeout(again),
  };
}

function fillRow(element, number, row, first, active) {
  element.style.top = `${(number - first) * ROW}px`;
  setAttribute(element, "aria-rowindex", number - first + 2);
  setAttribute(element, "aria-selected", String(active));
  if (element.shown === row && row !== undefined) return;
  element.shown = row;
  const [time, revision, type, key, value, lease] = element.cells;
  if (row === undefined) {
    element.className = "ew-row";
    for (const cell of element.cells) setText(cell, "");
    setText(key, "…");
    return;
  }
  const grouping = row.of === undefined ? ""
    : row.place === 1 ? " ew-tx ew-tx-first" : row.place === row.of ? " ew-tx ew-tx-last" : " ew-tx";
  element.className = `ew-row ew-${row.kind}${grouping}${row.note === undefined ? "" : " ew-noted"}`;
  setText(time, clock(row.came));
  revision.replaceChildren(row.revision ?? "");
  if (row.of !== undefined) {
    revision.append(h("span", { class: "ew-quiet ew-place" },
      h("span", { "aria-hidden": "true" }, ` ${row.place}/${row.of}`),
      h("span", { class: "ew-heard" }, `, change ${row.place} of ${row.of} in one transaction`)));
  }
  setText(type, `${SIGNS[row.kind]} ${row.kind}${row.synthetic ? " (resync)" : ""}`);
  type.className = "ew-cell ew-type";
  setText(key, row.note ?? row.key);
  key.className = row.note === undefined ? "ew-cell ew-mono" : "ew-cell ew-note";
  setText(value, row.value ?? "");
  value.className = "ew-cell ew-mono";
  setText(lease, row.lease ?? "");
  lease.className = "ew-cell ew-mono";
  setAttribute(key, "title", row.note ?? null);
}

export default live({ start, apply, render });
