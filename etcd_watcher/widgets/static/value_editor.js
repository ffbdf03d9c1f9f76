// A value to look at and to edit. What is written replaces the revision shown here, and no other.

function renderEditor({ el, state, ask }) {
  el.classList.add("ew-editor");
  setAttribute(el, "role", "group");
  setAttribute(el, "aria-label", "Value editor");
  const id = uniqueId("editor");
  const key = h("input", { class: "ew-field ew-mono ew-grow", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "key" });
  const opening = form(() => {
    asked = true;
    ask({ ask: "open", key: key.value });
  }, h("label", { class: "ew-label ew-grow" }, h("span", {}, "Key"), key),
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
  const put = button("Put", () => write(base.revision));
  const undo = button("Undo", () => load());
  const remove = button("Delete", () => {
    if (!sure) {
      sure = true;
      refresh();
      return;
    }
    sure = false;
    erase(base.revision);
  });
  const keep = button("Keep it", () => {
    sure = false;
    refresh();
    remove.focus();
  });
  const writing = h("div", { class: "ew-bar" }, how, seconds, lease, put, undo, h("span", { class: "ew-space" }), remove, keep);
  const newer = h("div", { class: "ew-notice", role: "status" });
  const newerText = h("span", {});
  newer.append(newerText, button("Show theirs", () => askForTheirs()));
  const conflict = h("div", { class: "ew-notice ew-conflict", role: "alert" });
  const said = h("p", { class: "ew-said", role: "status" });
  const trouble = troubleBox();
  const editing = h("div", { class: "ew-editing" }, facts, h("div", { class: "ew-bar" }, valueLabel, escaping), value, writing);
  el.append(opening, readOnly, newer, conflict, editing, said, trouble);

  let base = null; // the value that is shown: the revision that Put replaces; null while there is none yet
  let seen = null; // counts what the kernel has read: which of it this view has looked at
  let asked = true; // whoever looks wants what is there, even in the place of what was typed
  let written = null; // what was typed when it was put last, until that is read
  const drafts = new Map(); // by key: what was typed there before another was opened
  let drawnConflict = null;
  let sure = false; // the next click deletes

  const plain = (text) => text.replace(/\r\n?/g, "\n"); // as a text field gives it
  const dirty = () => base !== null && value.value !== plain(base.text);

  function life() {
    if (how.value === "ttl") return { how: "ttl", seconds: Number(seconds.value) };
    if (how.value === "lease") return { how: "lease", id: lease.value.trim() };
    return { how: how.value };
  }

  // Which key is meant goes along: the kernel may have another by now.
  function write(revision) {
    written = value.value;
    ask({ ask: "put", id: base.id, text: value.value, escapes: escapes.checked, revision, life: life() });
  }

  function erase(revision) {
    written = value.value;
    ask({ ask: "delete", id: base.id, revision });
  }

  function askForTheirs() {
    asked = true;
    ask({ ask: "load" });
  }

  function load() {
    base = state.value;
    if (value.value !== plain(base.text)) value.value = base.text;
    escapes.checked = base.escapes;
    sure = asked = false;
    written = null;
    refresh();
  }

  /** Show what was read; but what somebody has typed meanwhile stays, and with it what it is to replace. */
  function take() {
    const found = state.value;
    const draft = drafts.get(found.id);
    if (base === null && draft && !found.then) {
      drafts.delete(found.id);
      ({ base, written } = draft);
      value.value = draft.text;
      escapes.checked = draft.escapes;
      asked = false;
    }
    const same = base !== null && base.id === found.id && base.then?.revision === found.then?.revision;
    const ours = same && found.ours && written !== null && found.revision !== base.revision;
    if (!same || asked || !dirty() || (ours && value.value === written)) load();
    else if (ours) base = found; // they have typed on since
  }

  /** Another key was opened: what is shown is not its value. */
  function clear() {
    if (dirty() && !base.then) drafts.set(base.id, { base, written, text: value.value, escapes: escapes.checked });
    base = written = null;
    value.value = "";
    sure = false;
  }

  function choices(now) {
    const left = now.left === null ? "" : ` (${count(now.left)} s left)`;
    const offered = [];
    if (now.left !== null) offered.push(["keep", state.api === "v3" ? `keeps its lease${left}` : `keeps its time to live${left}`]);
    offered.push(["stay", now.left === null ? "stays" : "stays from now on"], ["ttl", "lives for … seconds"]);
    if (state.api === "v3") offered.push(["lease", "hangs on the lease …"]);
    return offered;
  }

  function refresh() {
    const now = base ?? state.value;
    const lives = choices(now);
    const chosen = how.value;
    if (setOptions(how, lives)) {
      if (lives.some(([name]) => name === chosen) && how.dataset.revision === String(now.revision)) how.value = chosen;
      how.dataset.revision = String(now.revision);
    }
    seconds.hidden = how.value !== "ttl";
    lease.hidden = how.value !== "lease";
    const { then } = now; // the moment of the past that is shown, if any
    const editable = state.writes && now.whole && state.key !== "" && then?.there !== false;
    value.readOnly = !editable || base === null;
    escapes.disabled = value.readOnly;
    escaping.hidden = !escapes.checked && !now.escapes && !editable;
    writing.hidden = !editable;
    put.disabled = remove.disabled = base === null;
    undo.disabled = !dirty();
    const verb = then ? "Restore" : now.there ? "Put" : "Create";
    setText(put, verb);
    setAttribute(put, "aria-label", `${verb} ${state.key}`);
    remove.hidden = !now.there || Boolean(then);
    keep.hidden = !sure;
    setText(remove, sure ? `Really delete ${state.key}` : "Delete");
    setAttribute(remove, "aria-label", sure ? null : `Delete ${state.key}`);
    if (base !== null) compareWithTheirs();
  }

  function compareWithTheirs() {
    const found = state.value.id === base.id ? state.value : base;
    // Nobody has edited what is shown: then it may as well be what is there now.
    if (!dirty() && state.busy === 0 && state.conflict === null) {
      if (base !== found) {
        load();
        return;
      }
      if (state.newest !== null) ask({ ask: "load" });
    }
    const theirs = state.newest ?? found.revision; // 0: there is no such key any more
    newer.hidden = theirs === base.revision || !dirty() || state.conflict !== null;
    setText(newerText, theirs === 0
      ? `Somebody has deleted ${state.key} since revision ${count(base.revision)}.`
      : `Somebody else has written revision ${count(theirs)} since this was shown.`);
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
      button("Take theirs", askForTheirs),
      found.deletes
        ? found.revision ? button("Delete theirs", () => erase(found.revision)) : null
        : button(found.revision ? "Overwrite theirs" : "Create it again", () => write(found.revision))));
  }

  for (const field of [value, how, escapes]) {
    field.addEventListener("input", () => {
      if (state.value) refresh();
    });
  }

  function factsOf(now) {
    if (now === null) return state.busy > 0 ? "reading …" : "not read";
    const told = [];
    if (now.then) {
      told.push(`as it was at revision ${count(now.then.revision)}`);
      told.push(now.then.there ? `${count(now.size)} ${now.size === 1 ? "byte" : "bytes"}` : "not there then");
      told.push(now.there ? `now revision ${count(now.revision)}` : "now not there");
      if (!now.whole) told.push("too large to be restored here: this is its beginning");
      return told.join(" · ");
    }
    if (!now.there) return "not there yet";
    told.push(`revision ${count(now.revision)}`);
    if (now.version) told.push(`version ${count(now.version)}`);
    told.push(`${count(now.size)} ${now.size === 1 ? "byte" : "bytes"}`);
    if (now.lease) told.push(`lease ${now.lease}`);
    if (now.left !== null) told.push(`${count(now.left)} s to live`);
    if (!now.whole) told.push("too large to be edited here: this is its beginning");
    return told.join(" · ");
  }

  return {
    update() {
      if (!state.value) return;
      if (document.activeElement !== key) key.value = state.key;
      editing.hidden = state.key === "";
      readOnly.hidden = state.writes;
      if (base !== null && base.id !== state.id) clear();
      if (seen !== state.loaded) {
        seen = state.loaded;
        if (state.value.id === state.id) take();
      }
      setText(facts, factsOf(base));
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
