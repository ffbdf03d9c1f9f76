// What the scripts of all our widgets share. It stands before each of them, in one module.
// Keys and values are untrusted: they become text nodes and attributes, never HTML.

/** Make an element. `props`: attributes as they are written in HTML, and
 * `on`: {event: listener}. Booleans switch an attribute on or off, null leaves it out. */
function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else {
      setAttribute(element, name, value);
    }
  }
  element.append(...children.filter((each) => each !== null && each !== undefined));
  return element;
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Set an element's text, where it differs: so a screen reader hears changes only. */
function setText(element, text) {
  const shown = String(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Set an element's text, and hide it while there is none. */
function setTextOrHide(element, text) {
  setText(element, text);
  element.hidden = text === "";
}

/** A name for an element that others refer to: unique, however many views there are. */
function uniqueId(name) {
  return `ew-${name}-${Math.random().toString(36).slice(2, 12)}`;
}

/** What went wrong: `setTextOrHide` tells it, and a screen reader says it at once. */
function troubleBox() {
  return h("div", { class: "ew-problem", role: "alert", hidden: true });
}

/** Have a <select> offer these, [[value, label], …]; give whether it offered others before. */
function setOptions(select, options) {
  const text = JSON.stringify(options);
  if (select.offered === text) return false;
  select.offered = text;
  select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
  return true;
}

/** A button with a word on it, or with a sign and the word for those who hear it. */
function button(label, listener, props = {}) {
  return h("button", { type: "button", class: "ew-button", on: { click: listener }, ...props }, label);
}

/** A form that Enter in one of its fields submits: in JupyterLab 4.6 Chromium does not do it. */
function form(submit, ...children) {
  return h("form", { class: "ew-bar", on: {
    submit: (event) => {
      event.preventDefault();
      submit();
    },
    keydown: (event) => {
      if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
      event.preventDefault();
      submit();
    },
  } }, ...children);
}

/** A field with its label. */
function labelled(label, field) {
  return h("label", { class: "ew-label" }, h("span", {}, label), field);
}

/** 12345 -> "12,345" */
const grouped = new Intl.NumberFormat("en-US");
function count(number) {
  return grouped.format(number);
}

/** What happened, told apart by more than its colour. */
const SIGNS = {
  created: "+", modified: "±", deleted: "✕", expired: "◌", gap: "!", missed: "!", connection: "⇄",
};

/** Seconds since the epoch -> "14:03:09.123", as the person's clock shows. */
function clock(seconds, digits = 3) {
  const time = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const base = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return digits ? `${base}.${String(time.getMilliseconds()).padStart(3, "0")}` : base;
}

/** Call `run` soon, and once, however often it is asked meanwhile. */
function later(run, milliseconds) {
  let timer = null;
  return () => {
    if (timer === null) {
      timer = setTimeout(() => {
        timer = null;
        run();
      }, milliseconds);
    }
  };
}

/** Change something in an element. Where that takes away what has the focus (a button that was pressed,
 * and has done its work), the focus goes to the first that can have it: whoever uses the keyboard
 * would begin at the top of the page otherwise. */
function keepFocus(el, change) {
  const inside = el.contains(document.activeElement);
  change();
  const now = document.activeElement;
  const usable = (each) => each.checkVisibility() && !each.disabled;
  if (!inside || (now !== null && now !== document.body && (!el.contains(now) || usable(now)))) return;
  const fields = [...el.querySelectorAll("input, select, textarea, button, [tabindex='0']")];
  fields.find(usable)?.focus();
}

/** Take up what a message says, and leave what is the same as it was: the kernel repeats itself, and
 * what is drawn anew loses the focus and what was selected in it. */
function takeUp(state, message) {
  for (const [name, value] of Object.entries(message)) {
    if (JSON.stringify(state[name]) !== JSON.stringify(value)) state[name] = value;
  }
}

/** Make the module of a widget that the kernel draws (etcd_watcher/widgets/base.py).
 *
 * start()                    -> what this page knows, one for all views of the widget; `heardAt` in
 *                               it is when the kernel last said anything (milliseconds)
 * apply(state, message, buffers) -> bring it up to date
 * render({el, state, ask, model}) -> one view: {update(), dispose()?}
 * end(state)                 -> the widget is closed
 *
 * Views are brought up to date once an animation frame at most. */
function live({ start, apply, render, end }) {
  return () => {
    const state = start();
    const views = new Set();
    let number = null; // of the last message with news; null before the first
    let problem = "";
    let model = null;
    let frame = null;
    let ended = false;

    const ask = (message) => {
      try {
        model.send(message);
      } catch (error) { // there is nobody any more: the kernel was shut down or started anew
        if (problem !== "") return; // no drawing asks for another
        problem = `The kernel that this belongs to does not answer (${error.message}): run the cell again.`;
        updateSoon();
      }
    };
    const askForAll = later(() => ask({ ask: "whole" }), 200);

    const update = () => {
      frame = null;
      for (const view of views) {
        setTextOrHide(view.problem, problem);
        keepFocus(view.el, view.update);
      }
    };
    const updateSoon = () => {
      if (frame === null) frame = requestAnimationFrame(update);
    };

    // JupyterLab 4.6 keeps each widget's model and views for as long as the kernel: not what they hold.
    const letGo = () => {
      if (!ended || views.size > 0) return;
      end?.(state);
      for (const name of Object.keys(state)) delete state[name];
    };

    const take = (message, buffers) => {
      state.heardAt = Date.now();
      if (message.kind === "still") {
        if (message.number !== number) askForAll();
        return;
      }
      if (message.kind === "delta" && message.number !== number + 1) askForAll();
      if (message.kind === "problem") problem = message.text;
      else {
        number = message.number;
        apply(state, message, buffers ?? []);
      }
      updateSoon();
    };

    return {
      initialize(context) {
        model = context.model;
        model.on("msg:custom", take);
        return () => {
          model.off("msg:custom", take);
          ended = true;
          letGo();
        };
      },
      render(context) {
        model = context.model;
        const el = context.el;
        el.classList.add("etcd-watcher");
        // JupyterLab takes Enter and other keys for itself before any element hears of them.
        el.dataset.lmSuppressShortcuts = "true";
        // The form for a notebook without a kernel need not be seen beside the living one.
        requestAnimationFrame(() => el.closest(".jp-OutputArea")?.classList.add("ew-live"));
        const problemShown = troubleBox();
        const view = render({ el, state, ask, model, update: updateSoon });
        el.append(problemShown);
        Object.assign(view, { el, problem: problemShown });
        views.add(view);
        if (number === null) ask({ ask: "whole" });
        updateSoon();
        return () => {
          views.delete(view);
          view.dispose?.();
          el.replaceChildren();
          letGo();
        };
      },
    };
  };
}

function heading(text) {
  return h("div", { class: "ew-heading", role: "heading", "aria-level": "4" }, text);
}

/** A value in full: {text, whole, size}. */
function valueBlock(value, label) {
  const block = h("pre", {
    class: "ew-block ew-mono", tabindex: "0", role: "region", "aria-label": label,
  }, value.text);
  if (value.whole) return block;
  return h("div", {}, block, h("p", { class: "ew-quiet" },
    `The beginning of ${count(value.size)} bytes; Python has them all.`));
}

/** Lines of a comparison: [["same" | "gone" | "new" | "skipped", text], …] */
function differenceBlock(lines) {
  const signs = { same: " ", gone: "−", new: "+", skipped: "⋯" };
  const words = { gone: "removed: ", new: "added: " };
  return h("div", {
    class: "ew-block ew-mono", tabindex: "0", role: "region", "aria-label": "What changed",
  }, ...lines.map(([what, text]) => h("div", { class: `ew-diff ew-diff-${what}` },
    h("span", { class: "ew-sign", "aria-hidden": "true" }, signs[what]),
    words[what] ? h("span", { class: "ew-heard" }, words[what]) : null,
    h("span", {}, what === "skipped" ? `${count(Number(text))} lines as before` : text))));
}

/** Put text on the clipboard; where the page may not (not https, not localhost), the old way. */
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "ew-heard" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("not copied");
  return undefined;
}

/** The elements of the rows in sight, used again and again: the page never has more.
 *
 * show(keys, fill): have a row for each of these, and call fill(element, place) for each. What a key
 * names keeps its element for as long as it is in sight: fewer changes, a screen reader's place
 * stays, and a click meets what was aimed at.
 * of(key): the element of a row in sight. */
function rowPool(canvas, make) {
  const pool = new Map();
  return {
    show(keys, fill) {
      const wanted = new Set(keys);
      const spare = [];
      for (const [key, row] of pool) {
        if (!wanted.has(key)) {
          pool.delete(key);
          spare.push(row);
          row.remove();
        }
      }
      keys.forEach((key, place) => {
        if (!pool.has(key)) {
          const row = spare.pop() ?? make();
          row.id ||= uniqueId("row");
          row.shown = undefined;
          pool.set(key, row);
        }
        const row = pool.get(key);
        const there = canvas.children[place] ?? null; // a screen reader goes from one to the next
        if (there !== row) canvas.insertBefore(row, there);
        fill(row, place);
      });
    },
    of: (key) => pool.get(key),
  };
}
