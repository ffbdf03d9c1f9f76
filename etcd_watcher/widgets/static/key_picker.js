// A field with suggestions (the ARIA combobox pattern) and the chosen keys as tags.

function startPicker() {
  return { tags: [], all: 0, found: {}, keys: [], trouble: "", busy: 0, done: 0, api: "v3" };
}

function applyPicker(state, message) {
  const before = state.found;
  takeUp(state, message);
  const found = state.found;
  if (found !== before && found.keys && found.number !== before.number) {
    state.keys = found.adds ? [...state.keys, ...found.keys] : found.keys;
  }
}

function renderPicker({ el, state, ask, update }) {
  el.classList.add("ew-key-picker");
  const id = uniqueId("keys");
  const field = h("input", {
    class: "ew-field ew-mono ew-key-field", type: "text", role: "combobox", autocomplete: "off",
    spellcheck: "false", "aria-expanded": "false", "aria-controls": `${id}-list`,
    "aria-autocomplete": "list", placeholder: "begin to type a key",
  });
  const list = h("ul", { class: "ew-options", role: "listbox", id: `${id}-list`, "aria-label": "Keys", hidden: true });
  const heard = h("div", { class: "ew-heard", role: "status", "aria-live": "polite" });
  const tags = h("ul", { class: "ew-tags", "aria-label": "Watched keys" });
  const more = h("p", { class: "ew-quiet" });
  const trouble = troubleBox();
  const box = h("div", { class: "ew-key-box" }, labelled("Watch a key", field), list);
  el.append(box, heard, tags, more, trouble);

  let number = 0; // of the question whose answer is shown
  let options = [];
  let active = -1;
  let open = false;

  const find = later(() => {
    number += 1;
    ask({ ask: "find", text: field.value, number });
  }, 120);

  // At once: Enter takes what is offered for what the field says now, however late the page draws.
  function show(yes) {
    open = yes;
    active = -1;
    drawOptions();
    update();
  }

  function choose(option) {
    if (option.more) {
      number += 1;
      ask({ ask: "more", id: state.found.id, after: state.found.after, number });
      return;
    }
    if (option.key) ask({ ask: "add", id: option.key.id, prefix: false });
    else ask({ ask: "add", text: field.value, prefix: option.prefix });
    field.value = "";
    show(false);
    find();
  }

  field.addEventListener("input", () => {
    show(true);
    find();
  });
  field.addEventListener("focus", find);
  field.addEventListener("blur", () => show(false));
  field.addEventListener("click", () => show(true));
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (!open) show(true);
      else {
        active = Math.max(-1, Math.min(options.length - 1, active + step));
        if (active === -1 && step === -1) active = options.length - 1;
        update();
      }
    } else if (event.key === "Enter") {
      const option = options[active] ?? options.find((each) => each.key && each.exact)
        ?? options.find((each) => each.typed && !each.prefix);
      if (option && (open || field.value)) choose(option);
    } else if (event.key === "Escape" && open) {
      show(false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function offered() {
    const typed = field.value;
    const fresh = state.found.number === number || state.found.adds;
    const keys = fresh ? state.keys : state.keys.filter((key) => key.text.startsWith(typed));
    const plain = (text) => (state.api === "v2" ? text.replace(/^\/+/, "") : text);
    const found = keys.map((key) => ({ key, exact: plain(key.text) === plain(typed), text: key.text, note: "" }));
    const offers = [...found];
    if (fresh && state.found.after) {
      const left = state.found.count === null ? "" : ` (${count(state.found.count - state.found.keys.length)} more)`;
      offers.push({ more: true, text: `Show more${left}`, note: "" });
    }
    if (typed !== "") {
      if (!found.some((each) => each.exact)) {
        offers.push({ typed: true, prefix: false, text: typed, note: "not there yet" });
      }
      offers.push({
        typed: true, prefix: true, text: typed,
        note: state.api === "v2" ? "the directory, with all that is in it" : "all keys that begin so",
      });
    }
    return offers;
  }

  function drawOptions() {
    options = open ? offered() : [];
    if (active >= options.length) active = options.length - 1;
    list.hidden = !open || options.length === 0;
    setAttribute(field, "aria-expanded", String(!list.hidden));
    setAttribute(field, "aria-activedescendant", active >= 0 ? `${id}-${active}` : null);
    list.replaceChildren(...options.map((option, at) => h("li", {
      role: "option", id: `${id}-${at}`, class: `ew-option${option.more ? " ew-quiet" : ""}`,
      "aria-selected": String(at === active),
      on: {
        // Before the field loses its focus, and with it the list.
        mousedown: (event) => {
          event.preventDefault();
          choose(option);
        },
      },
    }, h("bdi", { class: option.more ? "" : "ew-mono" }, option.text),
      option.prefix ? h("span", { class: "ew-mono", "aria-hidden": "true" }, "…") : null,
      option.note ? h("span", { class: "ew-quiet" }, option.note) : null)));
    list.children[active]?.scrollIntoView({ block: "nearest" });
    const keys = options.filter((each) => each.key).length;
    setText(heard, !open ? "" : state.found.problem
      ? state.found.problem
      : `${count(keys)} ${keys === 1 ? "key" : "keys"}${state.found.after ? ", and more" : ""}`);
  }

  function drawTags() {
    const focused = document.activeElement?.closest?.(".ew-tag");
    const at = [...tags.children].indexOf(focused);
    tags.replaceChildren(...state.tags.map((tag) => {
      const kind = !tag.prefix || tag.text === "" ? "" : state.api === "v2" ? "directory " : "prefix ";
      const text = tag.prefix && tag.text === "" ? "all keys" : tag.text;
      const told = tag.subscribers ? "" : " (nobody is told)";
      return h("li", { class: `ew-tag${tag.subscribers ? "" : " ew-tag-alone"}`, title: `${kind}${text}${told}` },
        kind ? h("span", { class: "ew-quiet" }, kind) : null,
        h("bdi", { class: "ew-mono" }, text),
        h("button", {
          type: "button", class: "ew-remove", "aria-label": `Remove ${kind}${text}`,
          on: { click: () => ask({ ask: "remove", id: tag.id, prefix: tag.prefix }) },
        }, "✕"));
    }));
    if (at >= 0) (tags.children[Math.min(at, tags.children.length - 1)]?.querySelector("button") ?? field).focus();
  }

  let drawn = null;
  return {
    update() {
      if (drawn !== state.tags) {
        drawn = state.tags;
        drawTags();
      }
      drawOptions();
      const left = state.all - state.tags.length;
      setTextOrHide(more, left > 0 ? `and ${count(left)} more` : state.all ? "" : "No key is watched yet.");
      setTextOrHide(trouble, state.trouble || (open && state.found.problem) || "");
      setAttribute(el, "aria-busy", String(state.busy > 0));
    },
  };
}

export default live({ start: startPicker, apply: applyPicker, render: renderPicker });
