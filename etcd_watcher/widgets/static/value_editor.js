// A value to look at and to edit. What is written replaces the revision shown here, and no other.

function renderEditor({ el, state, ask }) {
  el.classList.add("ew-editor");
  setAttribute(el, "role", "group");
  setAttribute(el, "aria-label", "Value editor");
  const id = uniqueId("editor");
  const key = h("input", { class: "ew-field ew-mono ew-grow", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "key" });
  const opening = form(() => ask({ ask: "open", key: key.value }), h("label", { class: "ew-label ew-grow" }, h("span", {}, "Key"), key),
    h("button", { type: "submit", class: "ew-button" }, "Open"));

  const facts = h("p", { class: "ew-quiet ew-facts" });
  const readOnly = h("p", { class: "ew-quiet" },
    "Read-only. ", h("code", {}, "ValueEditor(watcher, read_only=False)"), " writes, too.");
  const value = h("textarea", { class: "ew-field ew-mono ew-edited", rows: "6", spellcheck: "false", id: `${id}-value` });
  const valueLabel = h("label", { for: `${id}-value` }, "Value");
  const escapes = h("input", { type: "checkbox" });
  const escaping = h("label", { class: "ew-label" }, escapes, h("span", {}, "with escapes such as \\x00 and \\\\"));
  const how = h("select", { class: "ew-field", "aria-label": "How long the key lives" });
  const seconds = h("input", { class: "ew-field ew-short", type: "number", min: "1", value: "60", "aria-label": "Seconds to live" });
  const lease = h("input", { class: "ew-field ew-mono", type: "text", placeholder: "32694b6f4ff9a70a", "aria-label": "Lease" });
  const put = button("Put", () => write(state.value.revision));
  const undo = button("Undo", () => load());
  const remove = button("Delete", () => {
    if (!sure) {
      sure = true;
      refresh();
      return;
    }
    sure = false;
    ask({ ask: "delete", revision: state.value.revision });
  });
  const keep = button("Keep it", () => {
    sure = false;
    refresh();
    remove.focus();
  });
  const writing = h("div", { class: "ew-bar" }, how, seconds, lease, put, undo, h("span", { class: "ew-space" }), remove, keep);
  const newer = h("div", { class: "ew-notice", role: "status" });
  const newerText = h("span", {});
  newer.append(newerText, button("Show theirs", () => ask({ ask: "load" })));
  const conflict = h("div", { class: "ew-notice ew-conflict", role: "alert" });
  const said = h("p", { class: "ew-said", role: "status" });
  const trouble = troubleBox();
  const editing = h("div", { class: "ew-editing" }, facts, h("div", { class: "ew-bar" }, valueLabel, escaping), value, writing);
  el.append(opening, readOnly, newer, conflict, editing, said, trouble);

  let shown = null; // what was loaded last
  let drawnConflict = null;
  let sure = false; // the next click deletes

  const dirty = () => state.value !== undefined && value.value !== state.value.text.replace(/\r\n?/g, "\n");

  function life() {
    if (how.value === "ttl") return { how: "ttl", seconds: Number(seconds.value) };
    if (how.value === "lease") return { how: "lease", id: lease.value.trim() };
    return { how: how.value };
  }

  function write(revision) {
    ask({ ask: "put", text: value.value, escapes: escapes.checked, revision, life: life() });
  }

  function load() {
    value.value = state.value.text;
    escapes.checked = state.value.escapes;
    sure = false;
    refresh();
  }

  function choices() {
    const now = state.value;
    const left = now.left === null ? "" : ` (${count(now.left)} s left)`;
    const offered = [];
    if (now.left !== null) offered.push(["keep", state.api === "v3" ? `keeps its lease${left}` : `keeps its time to live${left}`]);
    offered.push(["stay", now.left === null ? "stays" : "stays from now on"], ["ttl", "lives for … seconds"]);
    if (state.api === "v3") offered.push(["lease", "hangs on the lease …"]);
    return offered;
  }

  function refresh() {
    const now = state.value;
    const lives = choices();
    const chosen = how.value;
    if (setOptions(how, lives)) {
      if (lives.some(([name]) => name === chosen) && how.dataset.revision === String(now.revision)) how.value = chosen;
      how.dataset.revision = String(now.revision);
    }
    seconds.hidden = how.value !== "ttl";
    lease.hidden = how.value !== "lease";
    const { then } = now; // the moment of the past that is shown, if any
    const editable = state.writes && now.whole && state.key !== "" && then?.there !== false;
    value.readOnly = !editable;
    escapes.disabled = !editable;
    escaping.hidden = !escapes.checked && !now.escapes && !editable;
    writing.hidden = !editable;
    undo.disabled = !dirty();
    const verb = then ? "Restore" : now.there ? "Put" : "Create";
    setText(put, verb);
    setAttribute(put, "aria-label", `${verb} ${state.key}`);
    remove.hidden = !now.there || Boolean(then);
    keep.hidden = !sure;
    setText(remove, sure ? `Really delete ${state.key}` : "Delete");
    setAttribute(remove, "aria-label", sure ? null : `Delete ${state.key}`);
    // Nobody has edited what is shown: then it may as well be what is there now.
    if (state.newest !== null && !dirty() && state.busy === 0 && state.conflict === null) ask({ ask: "load" });
    newer.hidden = state.newest === null || !dirty() || state.conflict !== null;
    setText(newerText, state.newest === 0
      ? `Somebody has deleted ${state.key} since revision ${count(now.revision)}.`
      : `Somebody else has written revision ${count(state.newest ?? 0)} since this was shown.`);
  }

  function drawConflict() {
    if (drawnConflict === state.conflict) return;
    drawnConflict = state.conflict;
    const found = state.conflict;
    conflict.replaceChildren();
    if (!found) return;
    const there = found.revision
      ? `Somebody else has written revision ${count(found.revision)} meanwhile`
      : "Somebody else has deleted the key meanwhile";
    conflict.append(h("p", {}, h("strong", {}, `Nothing was ${found.deletes ? "deleted" : "written"}. `), `${there}; you have seen ${found.expected ? `revision ${count(found.expected)}` : "no such key"}.`));
    if (!found.deletes) {
      if (found.lines) conflict.append(h("p", { class: "ew-quiet" }, "− theirs, + yours"), differenceBlock(found.lines));
      else conflict.append(h("p", { class: "ew-quiet" }, `The values are too large to compare here (theirs: ${found.size}).`));
    }
    conflict.append(h("div", { class: "ew-bar" },
      button("Take theirs", () => ask({ ask: "load" })),
      found.deletes
        ? found.revision ? button("Delete theirs", () => ask({ ask: "delete", revision: found.revision })) : null
        : button(found.revision ? "Overwrite theirs" : "Create it again", () => write(found.revision))));
  }

  for (const field of [value, how, escapes]) {
    field.addEventListener("input", () => {
      if (state.value) refresh();
    });
  }

  return {
    update() {
      if (!state.value) return;
      const now = state.value;
      if (document.activeElement !== key) key.value = state.key;
      editing.hidden = state.key === "";
      readOnly.hidden = state.writes;
      if (shown !== state.loaded) {
        shown = state.loaded;
        load();
      }
      const told = [];
      if (now.then) {
        told.push(`as it was at revision ${count(now.then.revision)}`);
        told.push(now.then.there ? `${count(now.size)} ${now.size === 1 ? "byte" : "bytes"}` : "not there then");
        told.push(now.there ? `now revision ${count(now.revision)}` : "now not there");
        if (!now.whole) told.push("too large to be restored here: this is its beginning");
      } else if (!now.there) told.push("not there yet");
      else {
        told.push(`revision ${count(now.revision)}`);
        if (now.version) told.push(`version ${count(now.version)}`);
        told.push(`${count(now.size)} ${now.size === 1 ? "byte" : "bytes"}`);
        if (now.lease) told.push(`lease ${now.lease}`);
        if (now.left !== null) told.push(`${count(now.left)} s to live`);
        if (!now.whole) told.push("too large to be edited here: this is its beginning");
      }
      setText(facts, told.join(" · "));
      refresh();
      drawConflict();
      conflict.hidden = state.conflict === null;
      setTextOrHide(said, state.said);
      setTextOrHide(trouble, state.trouble);
      setAttribute(el, "aria-busy", String(state.busy > 0));
    },
  };
}

export default live({
  start: () => ({}),
  apply: takeUp,
  render: renderEditor,
});
