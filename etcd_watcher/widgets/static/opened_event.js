// One event of EventLog, opened: all there is to know of it, and what it changed.

/** The event that was opened, in full. */
function detailsPane(el, ask, say, leave) {
  const title = h("strong", { class: "ew-title" });
  const facts = h("dl", { class: "ew-facts" });
  const change = h("div", { class: "ew-change" });
  const copied = (what, text) => copy(text).then(
    () => say(`${what} copied`), () => say(`${what} could not be copied`));
  const python = button("Copy as Python", () => copied("Python", shown.python));
  const value = button("Copy value", () => copied("Value", shown.after.text));
  const close = () => {
    ask({ ask: "close" });
    leave();
  };
  const pane = h("section", {
    class: "ew-details", "aria-label": "Opened event", hidden: true,
    on: { keydown(event) {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      }
    } },
  },
  h("div", { class: "ew-bar" }, title, h("span", { class: "ew-space" }), python, value,
    button("Close", close)),
  facts, change);
  el.append(pane);
  let shown = null;
  let expected = false; // it was asked for in this view, and is brought into sight
  return {
    expect() {
      expected = true;
    },
    update(opened) {
      if (opened === shown) return;
      shown = opened;
      pane.hidden = opened === null;
      if (opened === null) return;
      if (opened.kind === "forgotten") {
        setText(title, "The journal has forgotten this event.");
        facts.replaceChildren();
        change.replaceChildren();
        python.hidden = value.hidden = true;
        return;
      }
      const isEvent = opened.python !== undefined;
      python.hidden = !isEvent;
      value.hidden = !opened.after;
      setText(title, `${SIGNS[opened.kind]} ${opened.kind}${opened.synthetic ? " (resync)" : ""}`);
      facts.replaceChildren(...factsOf(opened, isEvent).flatMap(([name, text, mono]) => [
        h("dt", {}, name), h("dd", { class: mono ? "ew-mono" : null }, text)]));
      change.replaceChildren(...(isEvent ? changeOf(opened) : []));
      say(`Opened: ${opened.kind} ${opened.key ?? opened.note}`);
      if (expected) pane.scrollIntoView({ block: "nearest" });
      expected = false;
    },
  };
}

function factsOf(opened, isEvent) {
  const when = ["time", new Date(opened.came * 1000).toISOString(), false];
  if (!isEvent) return [when, ["what", opened.note, false]];
  const facts = [["key", opened.full_key, true], ["revision", String(opened.revision), false], when];
  if (opened.of) facts.push(["transaction", `change ${opened.place} of ${opened.of}`, false]);
  if (opened.version) facts.push(["version", `${opened.version}, created at revision ${opened.created}`, false]);
  if (opened.lease) facts.push(["lease", opened.lease, true]);
  facts.push(["action", opened.action, false]);
  if (opened.size !== null) facts.push(["size", `${count(opened.size)} bytes`, false]);
  return facts;
}

function changeOf(opened) {
  const { before, after, differences } = opened;
  const parts = [];
  if (differences?.length) parts.push(heading("What changed"), differenceBlock(differences));
  else if (before && after) {
    const why = differences === null ? "Too large to compare here."
      : before.text === after.text && before.size === after.size
        ? "Written again with the same value." : "The same text, in other bytes.";
    parts.push(h("p", { class: "ew-quiet" }, why));
  }
  if (after) parts.push(heading("Value"), valueBlock(after, "Value"));
  else if (before) parts.push(heading("Value before"), valueBlock(before, "Value before"));
  return parts;
}

