// Keys down, subscribers across: a tick registers. Arrow keys go from tick to tick.

function renderMatrix({ el, state, ask, update }) {
  el.classList.add("ew-matrix");
  const name = h("input", { class: "ew-field", type: "text", autocomplete: "off", placeholder: "name" });
  const kind = h("select", { class: "ew-field", "aria-label": "Class of the new subscriber" });
  const make = form(() => {
    ask({ ask: "new", name: name.value, kind: kind.value });
    name.value = "";
  }, labelled("New subscriber", name), kind, h("button", { type: "submit", class: "ew-button" }, "Make"));
  const find = h("input", { class: "ew-field", type: "search", placeholder: "key or name", on: {
    input: later(() => ask({ ask: "find", text: find.value }), 200),
  } });
  const finding = labelled("Find", find);
  const head = h("tr", {});
  const body = h("tbody", {});
  const table = h("table", { class: "ew-table" }, h("caption", { class: "ew-heard" }, "Who is told of which key"),
    h("thead", {}, head), body);
  const scroll = h("div", { class: "ew-scroll", role: "region", tabindex: "0", "aria-label": "Keys and subscribers" }, table);
  const note = h("p", { class: "ew-quiet" });
  const trouble = troubleBox();
  const heard = h("div", { class: "ew-heard", role: "status", "aria-live": "polite" });
  el.append(h("div", { class: "ew-bar" }, make, finding), scroll, note, trouble, heard);

  const rowName = (row) => row.prefix ? (row.text === "" ? "all keys" : `${row.text}…`) : row.text;

  function drawHead(column) {
    const cell = h("th", { scope: "col" });
    const label = h("bdi", { class: "ew-who" });
    const what = h("select", { class: "ew-field ew-what", on: {
      change: () => ask({ ask: "what", column: column.number, what: what.value }),
    } });
    const fixed = h("span", { class: "ew-quiet" });
    const remove = h("button", { type: "button", class: "ew-remove", on: {
      click: () => ask({ ask: "remove", column: column.number }),
    } }, "✕");
    cell.append(h("div", { class: "ew-column-name" }, label, remove), what, fixed);
    return {
      cell,
      update(now) {
        setText(label, now.name);
        setAttribute(cell, "title", now.kind);
        setAttribute(what, "aria-label", `What ${now.name} has called`);
        setAttribute(remove, "aria-label", `Remove ${now.name}`);
        what.hidden = now.choices.length === 0;
        fixed.hidden = !what.hidden;
        setText(fixed, `${now.what}(event)`);
        setOptions(what, now.choices.map((each) => [each, each]));
        if (document.activeElement !== what || now.choices.length < 2) what.value = now.what;
      },
    };
  }

  function drawRow() {
    const label = h("bdi", { class: "ew-mono" });
    const head = h("th", { scope: "row" }, label);
    const el = h("tr", {}, head);
    return { el, label, ticks: new Map() };
  }

  function tickBox(column, key) {
    const box = h("input", { type: "checkbox", class: "ew-tick" });
    box.addEventListener("change", () => {
      const row = rows.get(key).now;
      ask({ ask: "tick", column, id: row.id, prefix: row.prefix, on: box.checked });
    });
    const other = h("span", { class: "ew-quiet ew-other" });
    return { box, other, cell: h("td", {}, box, other) };
  }

  const columns = new Map();
  const rows = new Map();

  function arrange(parent, from, elements) {
    const kept = new Set(elements);
    // First what goes: whatever is moved loses the focus.
    for (const each of [...parent.children].slice(from)) if (!kept.has(each)) each.remove();
    elements.forEach((each, at) => {
      if (parent.children[at + from] !== each) parent.insertBefore(each, parent.children[at + from] ?? null);
    });
  }

  body.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !event.target.classList.contains("ew-tick")) return;
    const cell = event.target.closest("td");
    const down = [...body.children].indexOf(cell.parentElement) + step[0];
    const across = [...cell.parentElement.children].indexOf(cell) + step[1];
    const next = body.children[down]?.children[across]?.querySelector(".ew-tick");
    event.preventDefault();
    event.stopPropagation();
    next?.focus();
  });

  head.append(h("th", { scope: "col" }, "key"));
  return {
    update() {
      if (!state.columns) return;
      if (document.activeElement !== find) find.value = state.find;
      finding.hidden = state.all_columns < 6 && state.all_rows < 12 && state.find === "";
      kind.hidden = state.kinds.length < 2;
      const chosen = kind.value;
      if (setOptions(kind, state.kinds.map((each) => [each, each]))) {
        kind.value = state.kinds.includes(chosen) ? chosen : state.kinds[0] ?? "";
      }
      const present = new Set(state.columns.map((each) => each.number));
      for (const number of [...columns.keys()]) if (!present.has(number)) columns.delete(number);
      for (const each of state.columns) {
        if (!columns.has(each.number)) columns.set(each.number, drawHead(each));
        columns.get(each.number).update(each);
      }
      arrange(head, 1, state.columns.map((each) => columns.get(each.number).cell));

      const keys = state.rows.map((row) => `${row.id}${row.prefix ? "…" : ""}`);
      for (const key of [...rows.keys()]) if (!keys.includes(key)) rows.delete(key);
      state.rows.forEach((row, at) => {
        const key = keys[at];
        if (!rows.has(key)) rows.set(key, drawRow());
        const drawn = rows.get(key);
        drawn.now = row;
        setText(drawn.label, rowName(row));
        const ticked = new Map(row.ticks);
        for (const number of [...drawn.ticks.keys()]) if (!present.has(number)) drawn.ticks.delete(number);
        for (const column of state.columns) {
          if (!drawn.ticks.has(column.number)) drawn.ticks.set(column.number, tickBox(column.number, key));
          const { box, other } = drawn.ticks.get(column.number);
          const what = ticked.get(column.number);
          // While an errand is under way the page shows what was asked for.
          if (state.busy === 0 || document.activeElement !== box) box.checked = what !== undefined;
          setAttribute(box, "aria-label", `${column.name} is told of ${rowName(row)}`);
          setText(other, what !== undefined && what !== column.what ? what : "");
        }
        arrange(drawn.el, 1, state.columns.map((each) => drawn.ticks.get(each.number).cell));
      });
      arrange(body, 0, keys.map((key) => rows.get(key).el));

      scroll.hidden = state.rows.length === 0 && state.columns.length === 0;
      const notes = [];
      if (state.all_rows === 0) notes.push("No key is watched yet.");
      if (state.all_columns === 0) notes.push("There is no subscriber yet.");
      const keysLeft = state.all_rows - state.rows.length;
      const columnsLeft = state.all_columns - state.columns.length;
      if (keysLeft > 0) notes.push(`${count(keysLeft)} of ${count(state.all_rows)} keys are not shown.`);
      if (columnsLeft > 0) notes.push(`${count(columnsLeft)} of ${count(state.all_columns)} subscribers are not shown.`);
      setTextOrHide(note, notes.join(" "));
      setTextOrHide(trouble, state.trouble);
      setAttribute(el, "aria-busy", String(state.busy > 0));
    },
  };
}

export default live({
  start: () => ({}),
  apply: takeUp,
  render: renderMatrix,
});
