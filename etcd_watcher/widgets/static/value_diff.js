// ValueDiff: two values of a key to choose, and what differs between them.

function render({ el, state, ask }) {
  el.classList.add("ew-value-diff");
  setAttribute(el, "role", "group");
  setAttribute(el, "aria-label", "Value diff");
  const key = h("strong", { class: "ew-mono ew-key" });
  const selects = ["older", "newer"].map((name) => h("select", {
    class: "ew-field",
    on: { change: (event) => ask({ choose: name, revision: Number(event.target.value) }) },
  }));
  const said = h("p", { class: "ew-quiet" });
  const place = h("div", {});
  el.append(
    h("div", { class: "ew-bar" }, key, h("span", { class: "ew-space" }),
      labelled("From", selects[0]), labelled("to", selects[1])),
    said, place);
  let shown = null;
  return {
    update() {
      if (state.message === shown || state.message === null) return;
      shown = state.message;
      setText(key, shown.key || "no key chosen");
      fill(selects[0], shown.versions, shown.older, "the one before");
      fill(selects[1], shown.versions, shown.newer, "the newest");
      const parts = partsOf(shown);
      setTextOrHide(said, [shown.said, parts.said].filter(Boolean).join(" · "));
      place.replaceChildren(...parts.blocks);
    },
  };
}

function fill(select, versions, chosen, first) {
  const choices = [[0, first], ...versions.map(({ revision, kind, came }) =>
    [revision, `${revision} ${SIGNS[kind]} ${kind}${came ? ` at ${clock(came, 0)}` : ""}`])];
  if (chosen && !choices.some(([revision]) => revision === chosen)) choices.push([chosen, String(chosen)]);
  setOptions(select, choices);
  select.value = String(chosen);
  select.disabled = versions.length === 0;
}

function partsOf({ key, before, after, differences, versions }) {
  if (!key) return { said: "Choose a key in the tree, open an event in the log, or set only=\"…\".", blocks: [] };
  if (differences?.length) return { said: "", blocks: [differenceBlock(differences)] };
  if (before && after) {
    const said = differences === null ? "too large to compare here"
      : before.text === after.text && before.size === after.size ? "the same value"
        : "the same text, in other bytes";
    return { said, blocks: [valueBlock(after, "Value")] };
  }
  if (after) return { said: versions.length ? "nothing before it" : "", blocks: [valueBlock(after, "Value")] };
  if (before) return { said: "deleted; before that it was", blocks: [valueBlock(before, "Value before")] };
  return { said: "", blocks: [] };
}

export default live({
  start: () => ({ message: null }),
  apply: (state, { kind, number, ...message }) => takeUp(state, { message }),
  render,
});
