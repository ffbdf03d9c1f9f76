// The rows of Timeline. The kernel tells what has changed in which piece of time; the page draws
// the window, which slides with the clock, a few times a second and only while it can be seen.

const PIECES = 120;
const FRAME = 200; // milliseconds from one drawing to the next
const WINDOWS = [10, 60, 300, 900, 3600, 21600, 86400]; // seconds, to choose from

function start() {
  return { rows: new Map(), order: [], marks: [], others: 0, length: 0.5, ahead: 0, told: false };
}

function apply(state, message) {
  if ("now" in message) state.ahead = message.now - Date.now() / 1000; // the kernel's clock and ours
  if ("order" in message) {
    state.order = message.order;
    state.length = message.length;
    state.others = message.others;
    for (const id of state.rows.keys()) if (!state.order.includes(id)) state.rows.delete(id);
    if (message.kind === "whole") state.rows.clear();
  }
  for (const row of message.rows ?? []) {
    const known = state.rows.get(row.id) ?? { counts: new Map(), numbers: new Map() };
    for (const [piece, number] of row.counts) known.counts.set(piece, number);
    for (const [piece, low, high, last] of row.numbers) known.numbers.set(piece, { low, high, last });
    const oldest = Math.floor((Date.now() / 1000 + state.ahead) / state.length) - PIECES - 2;
    for (const pieces of [known.counts, known.numbers]) {
      for (const piece of pieces.keys()) if (piece < oldest) pieces.delete(piece);
    }
    Object.assign(known, { key: row.key, curve: row.curve, total: row.total, value: row.value });
    state.rows.set(row.id, known);
  }
  if ("marks" in message) state.marks = message.marks;
  state.told = true;
}

function render({ el, state, model, update: updateSoon }) {
  el.classList.add("ew-time");
  const heard = h("div", { class: "ew-heard", role: "status" });
  const list = h("div", { class: "ew-rows", role: "list", "aria-label": "Changes over time" });
  const span = h("div", { class: "ew-span", "aria-hidden": "true" });
  const field = h("div", { class: "ew-field-of-time" }, list, span);
  const ticks = h("div", { class: "ew-ticks", "aria-hidden": "true" });
  const handles = ["beginning", "end"].map((name, index) => h("div", {
    class: "ew-handle", role: "slider", tabindex: "0", "aria-label": `${name} of the marked time`,
    on: { keydown: (event) => moveHandle(event, index) },
  }));
  const axis = h("div", { class: "ew-axis" }, ticks, ...handles);
  const clear = button("Show all times", () => mark(null));
  const howLong = h("select", {
    class: "ew-field", on: { change: () => set("seconds", Number(howLong.value)) },
  });
  const note = h("span", { class: "ew-quiet" });
  const empty = h("div", { class: "ew-quiet ew-empty" }, "No change yet.");
  el.append(field, empty, axis,
    h("div", { class: "ew-bar" }, labelled("The last", howLong), note, h("span", { class: "ew-space" }), clear), heard);

  const rows = new Map(); // id -> {element, …}
  let frozenEnd = null; // while a span is marked the window stands still
  let dragged = null; // [from, to] while the mouse marks a span
  let onScreen = true;

  const seconds = () => model.get("seconds");
  const now = () => Date.now() / 1000 + state.ahead;
  const windowEnd = () => frozenEnd ?? now();
  const marked = () => dragged ?? model.get("between");

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
    updateSoon();
  }
  const mark = (between) => set("between", between);

  // With the mouse: press, draw, release.
  const plotBox = () => list.querySelector(".ew-plot")?.getBoundingClientRect();
  const timeAt = (event, box) => {
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return windowEnd() - seconds() * (1 - share);
  };
  field.addEventListener("pointerdown", (event) => {
    const box = plotBox();
    if (!box || event.button !== 0 || event.clientX < box.left) return;
    event.preventDefault();
    frozenEnd ??= now();
    const from = timeAt(event, box);
    const begun = event.clientX;
    field.setPointerCapture(event.pointerId);
    const move = (moved) => {
      const to = timeAt(moved, box);
      dragged = Math.abs(moved.clientX - begun) < 4 ? null : [Math.min(from, to), Math.max(from, to)];
      updateSoon();
    };
    const up = () => {
      field.removeEventListener("pointermove", move);
      field.removeEventListener("pointerup", up);
      field.removeEventListener("pointercancel", up);
      const drawn = dragged;
      dragged = null;
      mark(drawn); // a click alone shows all times again
    };
    field.addEventListener("pointermove", move);
    field.addEventListener("pointerup", up);
    field.addEventListener("pointercancel", up);
  });

  // With the keyboard: a handle for the beginning and one for the end.
  function moveHandle(event, index) {
    if (event.key === "Escape") mark(null);
    else {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
      const end = windowEnd();
      const begin = end - seconds();
      const between = [...(model.get("between") ?? [begin, end])];
      if (event.key in steps) between[index] += (steps[event.key] * seconds()) / PIECES;
      else if (event.key === "Home") between[index] = index === 0 ? begin : between[0];
      else if (event.key === "End") between[index] = index === 0 ? between[1] : end;
      else return;
      frozenEnd ??= end;
      between[index] = Math.min(end, Math.max(begin, between[index]));
      if (between[0] > between[1]) between[1 - index] = between[index];
      mark(between);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  function draw() {
    const end = windowEnd();
    const begin = end - seconds();
    for (const id of [...rows.keys()]) {
      if (!state.order.includes(id)) {
        rows.get(id).element.remove();
        rows.delete(id);
      }
    }
    state.order.forEach((id, index) => {
      const series = state.rows.get(id);
      if (series === undefined) return;
      if (!rows.has(id)) rows.set(id, makeRow());
      const row = rows.get(id);
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
      fillRow(row, series, state, begin, end);
    });
    empty.hidden = state.order.length > 1;
    const between = marked();
    clear.hidden = !model.get("between");
    const box = plotBox();
    const frame = field.getBoundingClientRect();
    span.hidden = !between || !box;
    if (box) {
      const at = (time) => ((Math.min(end, Math.max(begin, time)) - begin) / (end - begin)) * box.width;
      axis.style.marginLeft = `${box.left - frame.left}px`;
      axis.style.width = `${box.width}px`;
      if (between) {
        span.style.left = `${box.left - frame.left + at(between[0])}px`;
        span.style.width = `${Math.max(1, at(between[1]) - at(between[0]))}px`;
      }
      handles.forEach((handle, index) => {
        const time = between ? between[index] : index === 0 ? begin : end;
        handle.style.left = `${at(time)}px`;
        setAttribute(handle, "aria-valuemin", "0");
        setAttribute(handle, "aria-valuemax", String(seconds()));
        setAttribute(handle, "aria-valuenow", String(Math.round(Math.min(end, Math.max(begin, time)) - begin)));
        setAttribute(handle, "aria-valuetext", clock(time, 0));
      });
      drawTicks(ticks, begin, end, box.width);
    }
    const choices = WINDOWS.includes(seconds()) ? WINDOWS : [seconds(), ...WINDOWS];
    setOptions(howLong, choices.map((each) => [each, duration(each)]));
    howLong.value = String(seconds());
    setText(note, between
      ? `marked: ${clock(between[0])} to ${clock(between[1])}; the window stands still`
      : state.others > 0 ? `${count(state.others)} more keys are in the first row` : "");
    setAttribute(axis, "data-marked", between ? "" : null);
  }

  const observer = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
  });
  observer.observe(el);
  const timer = setInterval(() => {
    if (onScreen && frozenEnd === null && state.told) draw();
  }, FRAME);
  const resized = new ResizeObserver(updateSoon);
  resized.observe(el);
  const listening = ["between", "seconds"];
  for (const name of listening) model.on(`change:${name}`, updateSoon);
  let told = "";

  return {
    update() {
      if (!marked()) frozenEnd = null;
      else frozenEnd ??= now();
      draw();
      const between = model.get("between");
      const text = between ? `Marked ${clock(between[0], 0)} to ${clock(between[1], 0)}` : "All times";
      if (told !== "" && told !== text) setText(heard, text);
      told = text;
    },
    dispose() {
      clearInterval(timer);
      observer.disconnect();
      resized.disconnect();
      for (const name of listening) model.off(`change:${name}`, updateSoon);
    },
  };
}

function makeRow() {
  const name = h("div", { class: "ew-name ew-mono" });
  const plot = h("canvas", { class: "ew-plot", "aria-hidden": "true" });
  const figure = h("div", { class: "ew-figure ew-mono", "aria-hidden": "true" });
  const scale = h("div", { class: "ew-scale ew-quiet", "aria-hidden": "true" });
  const heard = h("span", { class: "ew-heard" });
  const element = h("div", { class: "ew-time-row", role: "listitem" }, name, plot, figure, scale, heard);
  return { element, name, plot, figure, scale, heard };
}

function fillRow(row, series, state, begin, end) {
  setText(row.name, series.key);
  setAttribute(row.name, "title", series.key);
  const changes = `${count(series.total)} ${series.total === 1 ? "change" : "changes"}`;
  const range = extent(series.numbers).map(rounded).join(" to ");
  const most = rounded(mostASecond(series.counts, state.length));
  setText(row.figure, series.curve ? series.value ?? "" : count(series.total));
  setText(row.scale, series.curve ? range : `≤ ${most}/s`);
  setText(row.heard, series.curve
    ? `: a curve from ${range}, now ${series.value}; ${changes}`
    : `: ${changes}, at most ${most} a second${series.value === null ? "" : `, now ${series.value}`}`);
  const { plot } = row;
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(plot.clientWidth * ratio));
  const height = Math.max(1, Math.round(plot.clientHeight * ratio));
  if (plot.width !== width || plot.height !== height) Object.assign(plot, { width, height });
  const pen = plot.getContext("2d");
  const style = getComputedStyle(plot);
  pen.clearRect(0, 0, width, height);
  const at = (time) => ((time - begin) / (end - begin)) * width;
  pen.strokeStyle = style.getPropertyValue("--ew-mark");
  pen.lineWidth = ratio;
  pen.setLineDash([3 * ratio, 2 * ratio]);
  for (const [time] of state.marks) {
    if (time >= begin && time <= end) {
      pen.beginPath();
      pen.moveTo(at(time), 0);
      pen.lineTo(at(time), height);
      pen.stroke();
    }
  }
  pen.setLineDash([]);
  pen.strokeStyle = pen.fillStyle = style.color;
  if (series.curve) drawCurve(pen, series.numbers, state.length, at, height, ratio);
  else drawBars(pen, series.counts, state.length, at, height, width, ratio);
}

function drawBars(pen, counts, length, at, height, width, ratio) {
  let most = 1;
  for (const number of counts.values()) most = Math.max(most, number);
  const wide = Math.max(ratio, at(length) - at(0) - ratio);
  for (const [piece, number] of counts) {
    const left = at(piece * length);
    if (left < -wide || left > width) continue;
    const tall = Math.max(2 * ratio, (number / most) * height);
    pen.fillRect(left, height - tall, wide, tall);
  }
}

/** The most changes within a second, or within a piece of time where that is longer. */
function mostASecond(counts, length) {
  const together = Math.max(1, Math.round(1 / length));
  let most = 0;
  for (const piece of counts.keys()) {
    let sum = 0;
    for (let each = 0; each < together; each += 1) sum += counts.get(piece + each) ?? 0;
    most = Math.max(most, sum);
  }
  return most / (together * length);
}

/** The lowest and the highest of all numbers. */
function extent(numbers) {
  const pieces = [...numbers.values()];
  return [Math.min(...pieces.map((each) => each.low)), Math.max(...pieces.map((each) => each.high))];
}

/** A line through the last number of each piece; what was above or below it is an upright stroke. */
function drawCurve(pen, numbers, length, at, height, ratio) {
  const points = [...numbers].sort((a, b) => a[0] - b[0]);
  const [lowest, highest] = extent(numbers);
  const range = highest - lowest || 1;
  const edge = 3 * ratio;
  const across = (piece) => at((piece + 0.5) * length);
  const up = (value) => height - edge - ((value - lowest) / range) * (height - 2 * edge);
  pen.lineWidth = 1.5 * ratio;
  pen.beginPath();
  points.forEach(([piece, { last }], index) => {
    if (index === 0) pen.moveTo(across(piece), up(last));
    else pen.lineTo(across(piece), up(last));
  });
  for (const [piece, { low, high }] of points) {
    if (low === high) continue;
    pen.moveTo(across(piece), up(low));
    pen.lineTo(across(piece), up(high));
  }
  pen.stroke();
  const [piece, { last }] = points[points.length - 1];
  pen.beginPath();
  pen.arc(across(piece), up(last), 2 * ratio, 0, 7);
  pen.fill();
}

function drawTicks(ticks, begin, end, width) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];
  const step = steps.find((each) => ((end - begin) / each) * 70 <= width) ?? 43200;
  const times = [];
  const last = end - ((end - begin) / width) * 60; // one farther on would be cut
  for (let time = Math.ceil(begin / step) * step; time < last; time += step) times.push(time);
  while (ticks.children.length < times.length) ticks.append(h("span", { class: "ew-tick ew-quiet" }));
  while (ticks.children.length > times.length) ticks.lastChild.remove();
  times.forEach((time, index) => {
    setText(ticks.children[index], clock(time, 0));
    ticks.children[index].style.left = `${((time - begin) / (end - begin)) * width}px`;
  });
}

function duration(seconds) {
  if (seconds < 60 || (seconds < 120 && seconds % 60)) return `${seconds} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** Three digits of a number, as a person would write them. */
const digits = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
function rounded(number) {
  const size = Math.abs(number);
  return size !== 0 && (size < 1e-3 || size >= 1e7) ? number.toExponential(1) : digits.format(number);
}

export default live({ start, apply, render });
