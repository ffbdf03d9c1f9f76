// One line of StatusBar. Figures change often and silently; a change of state is said aloud.

const STATES = {
  connected: ["●", "connected"], reconnecting: ["◐", "reconnecting"], closed: ["■", "closed"],
  silent: ["■", "no word from the kernel"],
};
const SILENCE = 15000; // milliseconds without a word: there is one every 5 seconds

function render({ el, state, update: updateSoon }) {
  el.classList.add("ew-status");
  const sign = h("span", { class: "ew-state-sign", "aria-hidden": "true" });
  const word = h("strong", { class: "ew-state-word" });
  const reason = h("span", { class: "ew-reason" });
  const countdown = h("span", { class: "ew-countdown" });
  const heard = h("div", { class: "ew-heard", role: "status", "aria-live": "polite" });
  const items = {};
  const list = h("dl", { class: "ew-items", "aria-label": "Connection" });
  for (const name of ["endpoint", "API", "version", "leader", "revision", "events", "forgotten", "lost"]) {
    const shown = h("dd", {});
    items[name] = { item: h("div", { class: "ew-item" }, h("dt", {}, name), shown), shown };
    list.append(items[name].item);
  }
  el.append(h("div", { class: "ew-bar ew-line" }, h("span", { class: "ew-state" }, sign, word), list),
    h("div", { class: "ew-bar ew-trouble" }, reason, countdown), heard);
  let timer = null;

  const show = (name, text, title = null) => {
    items[name].item.hidden = text === "";
    setText(items[name].shown, text);
    setAttribute(items[name].item, "title", title);
  };

  const stateNow = () => (Date.now() - state.heardAt > SILENCE ? "silent" : state.state);
  const looking = setInterval(() => {
    if (el.dataset.state !== stateNow()) updateSoon();
  }, 1000);

  function tick() {
    const left = state.next_try === null ? null
      : Math.max(0, state.next_try - (Date.now() - state.at) / 1000);
    const text = stateNow() !== "reconnecting" || left === null ? ""
      : left > 0.05 ? `next try in ${left.toFixed(1)} s` : "trying now";
    setText(countdown, text);
    clearTimeout(timer);
    timer = stateNow() === "reconnecting" ? setTimeout(tick, 100) : null;
  }

  return {
    update() {
      if (state.state === undefined) return;
      const current = stateNow();
      const [mark, name] = STATES[current] ?? ["?", current];
      setAttribute(el, "data-state", current);
      setText(sign, mark);
      setText(word, name);
      const why = current === "silent" ? "what is shown here is what it said last" : state.reason;
      setText(reason, why);
      const many = state.endpoints.length;
      show("endpoint", state.endpoint + (many > 1 ? ` (of ${many})` : ""), state.endpoints.join("\n"));
      show("API", state.api);
      show("version", state.version);
      show("leader", state.leader === "" ? ""
        : state.leader + (state.members > 1 ? ` (of ${state.members})` : ""));
      show("revision", count(state.revision));
      show("events", `${count(state.events)} · ${count(state.rate)}/s`,
        `${count(state.kept)} records are kept and can be shown`);
      show("forgotten", state.forgotten ? count(state.forgotten) : "",
        "The journal keeps the newest records; Watcher(journal_events=…) lets it keep more.");
      const lost = [];
      if (state.lost) lost.push(`${count(state.lost)} revisions`);
      if (state.missed) lost.push(`${count(state.missed)} not counted`);
      show("lost", lost.join(", "), state.gap
        && `The last gap: revisions ${state.gap.first} to ${state.gap.last}, ${state.gap.reason}`);
      const gap = state.gap ? ` Revisions ${state.gap.first} to ${state.gap.last} are lost.` : "";
      const where = current === "connected" ? ` to ${state.endpoint}.${gap}` : why ? `: ${why}` : "";
      setText(heard, `etcd: ${name}${where}`);
      tick();
    },
    dispose() {
      clearTimeout(timer);
      clearInterval(looking);
    },
  };
}

export default live({
  start: () => ({}),
  apply(state, message) {
    Object.assign(state, message, { at: Date.now() });
  },
  render,
});
