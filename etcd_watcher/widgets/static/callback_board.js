// A card for each subscriber. What callbacks print, show and raise is drawn by the notebook's own
// renderers, through a model of its `Output` widget that lives in this page alone: the kernel sends
// what is new, and no notebook saves it.

const OUTPUT = {
  model_name: "OutputModel",
  model_module: "@jupyter-widgets/output",
  model_module_version: "1.0.0",
  view_name: "OutputView",
  view_module: "@jupyter-widgets/output",
  view_module_version: "1.0.0",
};

/** What one card has: kept here as the notebook format has it, and drawn where there is a view. */
class CardOutput {
  constructor() {
    this.outputs = [];
    this.model = null; // a promise, once there is a view
    this.ready = null;
  }

  modelFor(manager) {
    if (this.model === null) {
      const id = `etcd-watcher-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
      this.model = manager.new_model({ model_id: id, ...OUTPUT }, {}).then((model) => {
        // "Save widget state" saves every model's state: not this one's.
        model.get_state = () => ({});
        // A model without a kernel's counterpart would be drawn with a broken link.
        model.comm_live = true;
        this.ready = model;
        this.drawAll();
        return model;
      });
    }
    return this.model;
  }

  set(outputs) {
    this.outputs = outputs;
    this.drawAll();
  }

  add(outputs) {
    for (const output of outputs) {
      const last = this.outputs[this.outputs.length - 1];
      if (last?.output_type === "stream" && last.name === output.name) last.text += output.text;
      else this.outputs.push({ ...output });
    }
    if (this.ready === null) return;
    if (this.ready.outputs?.add) for (const output of outputs) this.ready.outputs.add({ ...output });
    else this.drawAll();
  }

  drawAll() {
    const area = this.ready?.outputs;
    if (area?.fromJSON) area.fromJSON(structuredClone(this.outputs));
    else this.ready?.set("outputs", structuredClone(this.outputs));
  }

  close() {
    this.model?.then((model) => model.close(true));
  }
}

/** Tell a view whether it is in the page, as Lumino would: views within it wait for that. */
function tellLumino(view, ...types) {
  const widget = view.luminoWidget;
  if (!widget || widget.isDisposed) return; // its model went first, and took it along
  for (const type of types) {
    widget.processMessage({ type, isConflatable: false, conflate: () => false });
  }
}

function startBoard() {
  return { cards: new Map(), order: [], all: 0, lines: 0, outputs: 0, find: "" };
}

function applyBoard(state, message) {
  for (const told of message.cards ?? []) {
    const known = state.cards.get(told.number);
    if (known) known.told = told;
    else state.cards.set(told.number, { told, output: new CardOutput() });
  }
  if (message.order) {
    state.order = message.order;
    for (const [number, card] of state.cards) {
      if (!message.order.includes(number)) {
        card.output.close();
        state.cards.delete(number);
      }
    }
  }
  for (const name of ["all", "lines", "outputs", "find"]) {
    if (name in message) state[name] = message[name];
  }
  for (const [number, how, outputs] of message.news ?? []) {
    state.cards.get(number)?.output[how](outputs);
  }
}

/** One card in one view. */
function drawCard(card, ask, manager) {
  const number = card.told.number;
  const id = uniqueId("card");
  const fold = h("button", {
    type: "button", class: "ew-card-fold", "aria-controls": `${id}-content`,
    on: { click: () => ask({ card: number, collapsed: !card.told.collapsed }) },
  });
  const name = h("h3", { class: "ew-card-name" }, fold);
  const keys = h("span", { class: "ew-quiet ew-card-keys" });
  const counts = h("span", { class: "ew-card-counts" });
  const failed = h("span", { class: "ew-card-failed" });
  const lagging = h("span", { class: "ew-card-lagging" });
  const leftOut = h("p", { class: "ew-quiet ew-card-left-out" });
  const nothing = h("p", { class: "ew-quiet" }, "Nothing yet.");
  const place = h("div", {});
  const content = h(
    "div",
    { id: `${id}-content`, class: "ew-card-content", role: "group", tabindex: "0" },
    leftOut,
    nothing,
    place,
  );
  const clear = button("Clear", () => ask({ card: number, clear: true }));
  const el = h(
    "section",
    { class: "ew-card" },
    h("div", { class: "ew-bar ew-card-head" }, name, keys, counts, failed, lagging, clear),
    content,
  );

  let view = null;
  let disposed = false;
  // What is at the end is what is new: stay there, unless the person has scrolled away from it.
  let follows = true;
  content.addEventListener("scroll", () => {
    follows = content.scrollHeight - content.scrollTop - content.clientHeight < 24;
  });
  const grown = new ResizeObserver(() => {
    if (follows) content.scrollTop = content.scrollHeight;
  });
  grown.observe(place);

  card.output
    .modelFor(manager)
    .then((model) => manager.create_view(model))
    .then((made) => {
      if (disposed) return made.remove();
      view = made;
      tellLumino(view, "before-attach");
      place.append(view.el);
      tellLumino(view, "after-attach");
    })
    .catch((error) => {
      place.append(h("p", { class: "ew-problem" }, `The output cannot be drawn: ${error}`));
    });

  return {
    el,
    update(bounds) {
      const told = card.told;
      setText(fold, told.name);
      setAttribute(el, "aria-label", told.name);
      const shown = told.keys.join(", ") + (told.more_keys ? ` and ${count(told.more_keys)} more` : "");
      setText(keys, shown || "not subscribed");
      setText(counts, `${count(told.delivered)} delivered`);
      setText(failed, told.failed ? `✕ ${count(told.failed)} failed` : "");
      setText(lagging, told.lagging ? `⏳ ${count(told.lagging)} behind` : "");
      setAttribute(fold, "aria-expanded", String(!told.collapsed));
      setAttribute(clear, "aria-label", `Clear ${told.name}`);
      setAttribute(content, "aria-label", `Output of ${told.name}`);
      content.hidden = told.collapsed;
      nothing.hidden = card.output.outputs.length > 0;
      const left = [];
      if (told.lines_left_out) left.push(`${count(told.lines_left_out)} earlier lines`);
      if (told.outputs_left_out) left.push(`${count(told.outputs_left_out)} earlier outputs`);
      setTextOrHide(
        leftOut,
        left.length
          ? `… ${left.join(" and ")}: a card keeps the last ${count(bounds.lines)} lines and ${count(bounds.outputs)} plots, tables and errors`
          : "",
      );
    },
    dispose() {
      disposed = true;
      grown.disconnect();
      // As Lumino does it: one that is told that it is attached still would look for its parent.
      if (view !== null) tellLumino(view, "before-detach");
      el.remove();
      if (view !== null && !view.luminoWidget?.isDisposed) {
        tellLumino(view, "after-detach");
        view.remove();
      }
    },
  };
}

function renderBoard({ el, state, ask, model }) {
  const find = h("input", { class: "ew-field", type: "search", placeholder: "name", on: {} });
  const findSoon = later(() => ask({ find: find.value }), 200);
  find.addEventListener("input", findSoon);
  const more = h("span", { class: "ew-quiet" });
  const bar = h(
    "div",
    { class: "ew-bar" },
    labelled("Find a subscriber", find),
    button("Clear all", () => ask({ clear: "all" }), { "aria-label": "Clear all cards" }),
    more,
  );
  const nobody = h("p", { class: "ew-quiet" });
  const cards = h("div", { class: "ew-cards" });
  el.classList.add("ew-board");
  setAttribute(el, "role", "region");
  setAttribute(el, "aria-label", "Callbacks");
  el.append(bar, nobody, cards);
  const drawn = new Map();

  return {
    update() {
      if (document.activeElement !== find) find.value = state.find;
      bar.hidden = state.all === 0 && state.find === "";
      for (const [number, each] of drawn) {
        if (each.card !== state.cards.get(number)) {
          each.dispose();
          drawn.delete(number);
        }
      }
      state.order.forEach((number, position) => {
        const card = state.cards.get(number);
        if (!card) return;
        if (!drawn.has(number)) drawn.set(number, { card, ...drawCard(card, ask, model.widget_manager) });
        const each = drawn.get(number);
        if (cards.children[position] !== each.el) cards.insertBefore(each.el, cards.children[position] ?? null);
        each.update(state);
      });
      const unseen = state.all - state.order.length;
      setText(more, unseen > 0 ? `${count(unseen)} of ${count(state.all)} are not shown: find them by name` : "");
      nobody.hidden = state.order.length > 0;
      setText(nobody, state.all ? "No subscriber of that name." : "Nobody is subscribed yet.");
    },
    dispose() {
      for (const each of drawn.values()) each.dispose();
    },
  };
}

function endBoard(state) {
  for (const card of state.cards.values()) card.output.close();
}

export default live({ start: startBoard, apply: applyBoard, render: renderBoard, end: endBoard });
