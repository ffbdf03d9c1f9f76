// RevisionSlider: a place for each change of some keys, the present at the end. The kernel says what
// is at the chosen place; a page that is dragged tells where, and does not wait.

const PAGE = 10; // places that Page Up and Page Down go
const SEND = 60; // milliseconds between two places that a page tells while it is dragged
const PATIENCE = 2000; // milliseconds for which the page holds a place that it told the kernel
const PRESENT = Infinity; // the place of the present, however many changes come meanwhile

/** "revision 17, modified nokia and 2 more" */
function nameOf(state) {
  if (state.chosen === null) return "now";
  const { step, chosen } = state;
  const revision = `revision ${count(chosen)}`;
  if (!step) return `${revision}, before the first change that is known`;
  const more = step.of > 1 ? ` and ${count(step.of - 1)} more` : "";
  const change = `${step.kind} ${step.key}${more}${step.came ? ` at ${clock(step.came, 0)}` : ""}`;
  return step.revision === chosen ? `${revision}, ${change}`
    : `${revision}, after revision ${count(step.revision)}, ${change}`;
}

function render({ el, state, ask, model, update: updateSoon }) {
  el.classList.add("ew-past");
  const range = h("input", { type: "range", class: "ew-range", min: "0", "aria-label": "Moment" });
  const told = h("p", { class: "ew-moment", role: "status" });
  const earlier = button("◂ Earlier", () => move(-1), { "aria-label": "One change earlier" });
  const later1 = button("Later ▸", () => move(1), { "aria-label": "One change later" });
  const now = button("Now", () => ask({ ask: "go", place: -1 }));
  const number = h("input", {
    type: "number", min: "1", class: "ew-field ew-short", "aria-label": "Revision to go to", placeholder: "revision",
  });
  const going = form(() => {
    if (Number(number.value) >= 1) ask({ ask: "revision", revision: Math.floor(Number(number.value)) });
  }, number, h("button", { type: "submit", class: "ew-button" }, "Go"));
  const more = button("Look further back", () => ask({ ask: "earlier" }));
  const reach = h("span", { class: "ew-quiet" });
  const find = h("input", {
    type: "search", class: "ew-field", spellcheck: "false", autocomplete: "off", placeholder: "part of a key",
  });
  find.addEventListener("input", later(() => ask({ ask: "find", text: find.value }), 150));
  const moment = listOf("Keys at that moment", ["Key", "Value"]);
  const gone = listOf("Deleted keys", ["Key", "Went", "Last value", "What to do"]);
  const said = h("p", { class: "ew-said", role: "status" });
  const trouble = troubleBox();
  el.append(
    h("div", { class: "ew-bar" }, earlier, range, later1, now),
    told,
    h("div", { class: "ew-bar" }, going, h("span", { class: "ew-space" }), reach, more, labelled("Find", find)),
    moment.box, gone.box, said, trouble);

  let wanted = null; // the place that the person went to, while the kernel is not there
  let sent = null; // the place that the kernel was told since the person last moved
  let sentAt = 0;
  const place = () => Math.min(wanted ?? state.place ?? PRESENT, state.steps);
  const send = later(() => {
    if (wanted === null || wanted === sent) return;
    sent = wanted;
    sentAt = Date.now();
    setTimeout(updateSoon, PATIENCE + 50);
    ask({ ask: "go", place: wanted === PRESENT ? -1 : wanted });
  }, SEND);

  function go(to) {
    wanted = to >= state.steps ? PRESENT : Math.max(0, to);
    sent = null;
    range.value = String(place());
    send();
  }
  // Before the first change that is known, too, "one later" leads to that.
  const move = (by) => go(place() + by);

  range.addEventListener("input", () => go(Number(range.value)));
  // JupyterLab keeps some of these keys from doing what a browser does with them.
  range.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const here = place();
    const to = {
      ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1,
      PageUp: here - PAGE, PageDown: here + PAGE, Home: 0, End: state.steps,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    go(to);
  });

  // A server is asked for its history only where this is not folded away.
  const seen = new ResizeObserver(() => {
    if (el.offsetWidth === 0) return;
    seen.disconnect();
    ask({ ask: "begin" });
  });
  seen.observe(el);

  function drawKeys() {
    const rows = model.get("rows");
    moment.box.hidden = rows === 0 || state.chosen === null;
    moment.scroll.style.maxHeight = `${(rows + 1) * 25}px`;
    setText(moment.note, shownOf(state.keys.length, state.keys_found, state.keys_all, "key", "keys"));
    moment.fill(state.keys, ([key, value]) => [mono(key), mono(value)]);
  }

  function drawGone() {
    gone.box.hidden = state.gone_all === 0;
    setText(gone.note, shownOf(state.gone.length, state.gone_found, state.gone_all, "deleted key", "deleted keys"));
    gone.fill(state.gone, (each) => [
      mono(each.key),
      h("td", { class: `ew-${each.kind}` }, h("span", { class: "ew-type" }, `${SIGNS[each.kind]} ${each.kind}`),
        ` at ${count(each.revision)}`),
      mono(each.value ?? ""),
      h("td", { class: "ew-bar" },
        button("Show", () => ask({ ask: "show", id: each.id }), { "aria-label": `Go to before ${each.key} went` }),
        state.writes
          ? button("Restore", () => ask({ ask: "restore", id: each.id }), { "aria-label": `Restore ${each.key}` })
          : null),
    ]);
  }

  let drawnKeys = null;
  let drawnGone = null;
  const listening = ["rows", "prefix"];
  const anew = () => {
    drawnKeys = drawnGone = null;
    updateSoon();
  };
  for (const name of listening) model.on(`change:${name}`, anew);

  return {
    update() {
      if (state.steps === undefined) return;
      const there = state.place ?? PRESENT;
      // What was not told yet is never given up: a page may stand still for seconds.
      const heard = wanted !== null && wanted === sent;
      if (heard && (there === wanted || Date.now() - sentAt > PATIENCE)) wanted = sent = null;
      setAttribute(range, "max", state.steps);
      const at = String(place());
      if (range.value !== at) range.value = at;
      const name = nameOf(state);
      setAttribute(range, "aria-valuetext", name);
      setText(told, state.chosen === null ? "Now: live" : `At ${name}${state.known || state.trouble ? "" : " …"}`);
      setAttribute(el, "data-past", String(state.chosen !== null));
      earlier.disabled = place() <= 0;
      later1.disabled = place() >= state.steps;
      now.disabled = state.chosen === null;
      setText(reach, state.since ? `${count(state.steps)} ${state.steps === 1 ? "change" : "changes"} from revision ${count(state.since)} on`
        : state.busy ? "looking …" : "");
      more.hidden = !state.earlier;
      more.disabled = state.busy > 0;
      if (drawnKeys !== state.keys) {
        drawnKeys = state.keys;
        drawKeys();
      }
      moment.box.hidden = model.get("rows") === 0 || state.chosen === null;
      if (drawnGone !== state.gone) {
        drawnGone = state.gone;
        drawGone();
      }
      if (document.activeElement !== find) find.value = state.find;
      setTextOrHide(said, state.said);
      setTextOrHide(trouble, state.trouble);
      setAttribute(el, "aria-busy", String(state.busy > 0));
    },
    dispose() {
      seen.disconnect();
      for (const name of listening) model.off(`change:${name}`, anew);
    },
  };
}

function mono(text) {
  return h("td", { class: "ew-mono", title: text }, text);
}

function shownOf(shown, found, all, one, many) {
  const name = all === 1 ? one : many;
  if (found < all) return `${count(found)} of ${count(all)} ${name}${shown < found ? `, ${count(shown)} shown` : ""}`;
  return `${count(all)} ${name}${shown < found ? `, ${count(shown)} shown` : ""}`;
}

/** A table of a few rows under a heading that tells how many there are. */
function listOf(label, columns) {
  const note = h("span", { class: "ew-quiet" });
  const body = h("tbody", {});
  const scroll = h("div", { class: "ew-scroll", tabindex: "0", role: "region", "aria-label": `${label}, table` },
    h("table", { class: "ew-table", "aria-label": label },
      h("thead", {}, h("tr", {}, ...columns.map((each) => h("th", { scope: "col" }, each)))), body));
  const box = h("div", { class: "ew-list", hidden: true },
    h("div", { class: "ew-bar" }, heading(label), note), scroll);
  return {
    box, note, scroll,
    fill: (rows, cells) => body.replaceChildren(...rows.map((each) => h("tr", {}, ...cells(each)))),
  };
}

export default live({
  start: () => ({}),
  apply: takeUp,
  render,
});
