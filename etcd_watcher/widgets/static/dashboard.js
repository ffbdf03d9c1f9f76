// The parts of a Dashboard, each in a section that can be folded, and the whole on a full screen.

// On a wide screen these stand side by side; else the style sheet lays their parts out one by one.
const COLUMNS = [["keys", "subscribers", "board"], ["log", "timeline"], ["past", "tree", "editor", "diff"]];

function renderDashboard({ el, state, ask, model }) {
  el.classList.add("ew-dashboard");
  setAttribute(el, "role", "region");
  setAttribute(el, "aria-label", "etcd dashboard");
  const full = button("Full screen", async () => {
    try {
      if (document.fullscreenElement === el) await document.exitFullscreen();
      else await el.requestFullscreen();
    } catch (error) {
      setTextOrHide(problem, `The browser shows no full screen here: ${error.message}`);
    }
  }, { class: "ew-button ew-full" });
  const problem = troubleBox();
  const columns = COLUMNS.map(() => h("div", { class: "ew-column" }));
  const grid = h("div", { class: "ew-grid" }, ...columns);
  el.append(grid, problem);
  const changed = () => setText(full, document.fullscreenElement === el ? "Leave full screen" : "Full screen");
  document.addEventListener("fullscreenchange", changed);

  const drawn = new Map();
  let disposed = false;

  function drawPart(part) {
    const id = uniqueId(part.name);
    const content = h("div", { class: "ew-part-content", id });
    const fold = h("button", {
      type: "button", class: "ew-fold", "aria-controls": id,
      on: { click: () => ask({ ask: "fold", part: part.name, folded: !drawn.get(part.name).folded }) },
    }, h("span", { class: "ew-fold-sign", "aria-hidden": "true" }), part.title);
    const section = part.title
      ? h("section", { class: `ew-part ew-part-${part.name}`, role: "group", "aria-label": part.title },
        h("h2", { class: "ew-part-title" }, fold), content)
      : h("div", { class: `ew-part ew-part-${part.name}` }, content, full);
    const manager = model.widget_manager;
    const view = manager.get_model(part.model)
      .then((child) => manager.create_view(child))
      .then((made) => {
        if (disposed) made.remove();
        else content.append(made.el);
        return made;
      })
      .catch((error) => {
        content.append(h("p", { class: "ew-problem" }, `This part cannot be shown: ${error}`));
        return null;
      });
    return { section, content, fold, view, model: part.model, folded: false };
  }

  return {
    update() {
      for (const part of state.parts ?? []) {
        if (drawn.has(part.name) && drawn.get(part.name).model !== part.model) {
          drawn.get(part.name).section.remove();
          drawn.delete(part.name);
        }
        if (!drawn.has(part.name)) {
          drawn.set(part.name, drawPart(part));
          const place = columns[COLUMNS.findIndex((names) => names.includes(part.name))];
          if (place) place.append(drawn.get(part.name).section);
          else grid.prepend(drawn.get(part.name).section);
        }
        const each = drawn.get(part.name);
        each.folded = part.folded;
        each.content.hidden = part.folded;
        setAttribute(each.fold, "aria-expanded", String(!part.folded));
      }
    },
    dispose() {
      disposed = true;
      document.removeEventListener("fullscreenchange", changed);
      for (const each of drawn.values()) each.view.then((view) => view?.remove());
    },
  };
}

export default live({
  start: () => ({}),
  apply: takeUp,
  render: renderDashboard,
});
