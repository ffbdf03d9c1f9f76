// A watcher in a few lines: how it stands, who is told of what, what came last.

const STATES = { connected: "●", reconnecting: "◐", closed: "■" };

function render({ el, state }) {
  el.classList.add("ew-summary");
  setAttribute(el, "role", "region");
  setAttribute(el, "aria-label", "Watcher");
  const sign = h("span", { "aria-hidden": "true" });
  const word = h("strong", { role: "status" });
  const facts = h("span", { class: "ew-quiet" });
  const reason = h("p", { class: "ew-reason" });
  const keys = tableOf("Watched keys", ["Key", "Subscribers"]);
  const more = h("p", { class: "ew-quiet" });
  const last = tableOf("Last changes", ["Time", "Revision", "Type", "Key", "Value"]);
  const nothing = h("p", { class: "ew-quiet" }, "No change yet.");
  el.append(h("div", { class: "ew-bar ew-state" }, sign, word, facts), reason,
    h("div", { class: "ew-halves" }, h("div", {}, keys.table, more), h("div", {}, last.table, nothing)));

  return {
    update() {
      if (state.state === undefined) return;
      setAttribute(el, "data-state", state.state);
      setText(sign, STATES[state.state] ?? "?");
      setText(word, state.state);
      setText(facts, `${state.endpoint} · ${state.api} · revision ${count(state.revision)}`);
      setTextOrHide(reason, state.reason);
      keys.fill(state.keys.map(([key, prefix, names, others]) => [
        [prefix ? `${key}…` : key, "ew-mono"],
        [names.join(", ") + (others ? ` and ${count(others)} more` : ""), ""],
      ]));
      setTextOrHide(more, state.more ? `and ${count(state.more)} more keys` : "");
      last.fill(state.last.map((each) => [
        [clock(each.came, 0), ""], [String(each.revision), ""],
        [`${SIGNS[each.kind]} ${each.kind}`, `ew-kind ew-${each.kind}`],
        [each.key, "ew-mono"], [each.value, "ew-mono"],
      ]));
      nothing.hidden = state.last.length > 0;
    },
  };
}

/** A table of a few rows, drawn anew where they are others. */
function tableOf(label, columns) {
  const body = h("tbody", {});
  const table = h("table", { class: "ew-table", "aria-label": label },
    h("thead", {}, h("tr", {}, ...columns.map((each) => h("th", { scope: "col" }, each)))), body);
  let drawn = "";
  return {
    table,
    fill(rows) {
      const text = JSON.stringify(rows);
      table.hidden = rows.length === 0;
      if (text === drawn) return;
      drawn = text;
      body.replaceChildren(...rows.map((cells) =>
        h("tr", {}, ...cells.map(([shown, kind]) => h("td", { class: kind || null, title: shown }, shown)))));
    },
  };
}

export default live({
  start: () => ({}),
  apply: takeUp,
  render,
});
