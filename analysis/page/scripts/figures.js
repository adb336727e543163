// Shows the figures of a page: each when it comes into view, in the page's colours, joined with the tables.
//
// <div class="plot" data-figure="NAME"> is filled from <script type="application/json" id="figure-NAME">.
// A kind of figure (window.sweepFigures.kinds) knows its controls and what lies nearest to the mouse:
//   start(shown), layout(shown), choose(shown), nearest(shown, event) -> {arm, lines} or null, arms(shown) -> [arm]
(() => {
  "use strict";
  const figures = new Map();
  const kinds = {};
  const picked = new Set();
  let hovered = null;

  // Colours: those of the page, whatever decides its theme.
  const probe = document.createElement("span");
  probe.hidden = true;
  const colourOf = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const isDark = () => {
    const [r, g, b] = colourOf("paper").match(/[\d.]+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b < 128;
  };
  const theme = () => ({
    mode: isDark() ? "dark" : "light", paper: colourOf("paper"), ink: colourOf("ink"), muted: colourOf("muted"), grid: colourOf("grid"),
    font: getComputedStyle(document.body).fontFamily,
  });

  const set = (model, values) => {
    const known = Object.entries(values).filter(([name]) => name in model.properties);
    model.setv(Object.fromEntries(known));
  };
  const all = (value) => ({line_color: value, fill_color: value, text_color: value});

  const paint = (shown, colours = theme()) => {
    const {mode, paper, ink, muted, grid, font} = colours;
    shown.mode = mode;
    shown.box.dataset.mode = mode;
    for (const model of shown.doc.all_models) {
      if (model.type.endsWith("Axis")) {
        set(model, {axis_label_text_color: muted, major_label_text_color: muted,
          axis_label_text_font: font, major_label_text_font: font});
      } else if (model.type === "Grid") {
        set(model, {grid_line_color: grid});
      } else if (model.type === "BoxAnnotation") {
        set(model, {fill_color: muted, line_color: muted, fill_alpha: 0.15, line_width: 1});
      } else if (model.type === "GlyphRenderer") {
        const tag = model.tags[0] ?? {};
        const colour = tag.ink ? ink : tag.muted ? muted : tag.grid ? grid : tag[mode];
        if (colour) {
          for (const [name, value] of Object.entries(all({value: colour}))) {
            if (name in model.glyph.properties && model.glyph[name]?.field === undefined) model.glyph[name] = value;
          }
        }
        if (tag.backed) model.glyph.background_fill_color = {value: paper};
        if ("text_font" in model.glyph.properties) model.glyph.text_font = {value: font};
      }
    }
    for (const source of sourcesOf(shown)) {
      if (source.data[mode]) source.data = {...source.data, colour: [...source.data[mode]]};
    }
    shown.keys.querySelectorAll("[data-light]").forEach((key) => {
      key.style.setProperty("--key", key.dataset[mode]);
    });
  };

  const sourcesOf = (shown) => new Set(shown.plot.renderers.map((renderer) => renderer.data_source).filter(Boolean));

  // Emphasis: the arm pointed at, or the arms picked; all others step back.
  const FAINT = 0.18;
  const emphasise = (shown) => {
    const chosen = new Set(hovered === null ? picked : [hovered, ...picked]);
    const here = [...chosen].filter((arm) => shown.arms.has(arm));
    const faint = (arm) => here.length > 0 && !here.includes(arm);
    for (const renderer of shown.plot.renderers) {
      const arm = renderer.tags[0]?.arm;
      if (arm === undefined) continue;
      for (const name of ["line_alpha", "fill_alpha"]) {
        if (!(name in renderer.glyph.properties)) continue;
        const key = `${renderer.id} ${name}`;
        if (!shown.alphas.has(key)) shown.alphas.set(key, renderer.glyph[name].value ?? 1);
        const usual = shown.alphas.get(key);
        renderer.glyph[name] = {value: faint(arm) ? usual * FAINT : usual};
      }
    }
    for (const source of sourcesOf(shown)) {
      if (!source.data.alpha) continue;
      if (shown.alphas.get(source.id)?.length !== source.data.arm.length) shown.alphas.set(source.id, source.data.alpha);
      const usual = shown.alphas.get(source.id);
      const alpha = source.data.arm.map((arm, i) => (faint(arm) ? usual[i] * FAINT : here.length ? 1 : usual[i]));
      source.data = {...source.data, alpha};
    }
    shown.box.dataset.emphasis = here.join("\n");
    kinds[shown.spec.kind].emphasised?.(shown, here);
  };
  const emphasiseAll = () => figures.forEach((shown) => { if (shown.doc) emphasise(shown); });

  const point = (arm) => document.dispatchEvent(new CustomEvent("arm-hover", {detail: {arm}}));
  const pick = (arm) => document.dispatchEvent(new CustomEvent("arm-pick", {detail: {arm}}));
  document.addEventListener("arm-hover", (event) => {
    const arm = event.detail.arm ?? null;
    if (arm === hovered) return;
    hovered = arm;
    emphasiseAll();
  });
  document.addEventListener("arm-pick", (event) => {
    const arm = event.detail.arm;
    if (picked.has(arm)) picked.delete(arm); else picked.add(arm);
    emphasiseAll();
  });

  // Tooltip: lines of text beside the mouse.
  const tell = (shown, near, x, y) => {
    shown.tip.hidden = !near;
    if (!near) return;
    const same = near.lines.join("\n");
    if (shown.tip.dataset.text !== same) {
      shown.tip.dataset.text = same;
      shown.tip.replaceChildren(...near.lines.map((line, place) => {
        const element = document.createElement(place ? "div" : "b");
        element.textContent = line;
        return element;
      }));
    }
    const room = shown.stage.clientWidth - shown.tip.offsetWidth - 4;
    const right = x + 14;
    shown.tip.style.left = `${Math.max(4, right <= room ? right : x - shown.tip.offsetWidth - 14)}px`;
    shown.tip.style.top = `${Math.max(0, y - shown.tip.offsetHeight - 10)}px`;
  };
  const listen = (shown) => {
    const kind = kinds[shown.spec.kind];
    let latest = null;
    const look = (event) => {
      const near = kind.nearest(shown, event);
      tell(shown, near, event.sx, event.sy);
      latest = near?.arm ?? null;
      if (latest !== hovered) point(latest);
    };
    shown.plot.on_event("mousemove", look);
    shown.plot.on_event("tap", (event) => {
      look(event);
      if (latest !== null) pick(latest);
    });
    shown.stage.addEventListener("mouseleave", () => {
      tell(shown, null);
      if (latest !== null) point(latest = null);
    });
    shown.stage.addEventListener("dblclick", () => layout(shown));
    shown.stage.addEventListener("keydown", (event) => {
      const arms = kind.arms(shown);
      const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
      if (step && arms.length) {
        const place = arms.indexOf(hovered);
        point(arms[place < 0 ? (step > 0 ? 0 : arms.length - 1) : (place + step + arms.length) % arms.length]);
        tell(shown, kind.told(shown, hovered), 40, 60);
      } else if ((event.key === "Enter" || event.key === " ") && hovered !== null) {
        pick(hovered);
      } else if (event.key === "Escape") {
        point(null);
        tell(shown, null);
      } else {
        return;
      }
      event.preventDefault();
    });
    shown.stage.addEventListener("blur", () => tell(shown, null));
  };

  // Controls: one <select> each, remembered in the page's address where view.js is there.
  const remembered = (name, key) => window.view?.get?.(`${name}.${key}`);
  const makeControls = (shown, name) => {
    for (const control of shown.spec.controls) {
      const values = control.options.map(([value]) => value);
      const kept = remembered(name, control.key);
      shown.state[control.key] = values.includes(kept) ? kept : values[0];
      if (control.options.length < 2) continue;
      const select = document.createElement("select");
      select.dataset.control = control.key;
      select.append(...control.options.map(([value, text]) => new Option(text, value)));
      select.value = shown.state[control.key];
      select.addEventListener("change", () => {
        shown.state[control.key] = select.value;
        window.view?.set?.(`${name}.${control.key}`, select.value);
        choose(shown);
      });
      const label = document.createElement("label");
      label.append(control.label, " ", select);
      shown.controls.append(label);
    }
    shown.controls.hidden = !shown.controls.children.length;
  };
  const makeKeys = (shown) => {
    shown.keys.hidden = !shown.spec.keys.length;
    shown.keys.append(...shown.spec.keys.map(({text, colours}) => {
      const key = document.createElement("span");
      [key.dataset.light, key.dataset.dark] = colours;
      key.textContent = text;
      return key;
    }));
  };
  const choose = (shown) => {
    kinds[shown.spec.kind].choose(shown);
    layout(shown);
    paint(shown);
    emphasise(shown);
  };
  const layout = (shown) => kinds[shown.spec.kind].layout(shown);

  const part = (tag, name) => {
    const element = document.createElement(tag);
    element.className = name;
    return element;
  };
  const embed = async (box) => {
    const name = box.dataset.figure;
    if (figures.get(name)?.box === box) return;
    const spec = JSON.parse(document.getElementById(`figure-${name}`).textContent);
    const shown = {name, spec, box, state: {}, alphas: new Map(), arms: new Set()};
    figures.set(name, shown);
    for (const role of ["controls", "keys", "stage", "tip"]) shown[role] = part("div", `plot-${role}`);
    shown.canvas = part("div", "plot-canvas");
    const describe = (element, role, label) => {
      element.setAttribute("role", role);
      element.setAttribute("aria-label", label);
    };
    describe(shown.stage, "group", `${spec.title}: arrow keys go from arm to arm, Enter picks one`);
    describe(shown.canvas, "img", spec.description);
    shown.stage.tabIndex = 0;
    shown.tip.hidden = true;
    shown.tip.setAttribute("aria-live", "polite");
    makeControls(shown, name);
    makeKeys(shown);
    shown.stage.append(shown.canvas);
    box.replaceChildren(shown.controls, shown.keys, shown.stage, shown.tip);
    shown.stage.append(shown.tip);
    shown.canvas.id = `canvas-${name}`;
    const views = await Bokeh.embed.embed_item(spec.item, shown.canvas.id);
    const doc = Bokeh.documents.findLast((one) => one.roots()[0].name === name);
    Object.assign(shown, {views, plot: doc.roots()[0]});
    delete spec.item;  // its numbers live in the sources now
    if (matchMedia("(pointer: coarse)").matches) shown.plot.toolbar.active_drag = null;  // a finger scrolls the page
    shown.doc = doc;
    kinds[spec.kind].start(shown);
    choose(shown);
    listen(shown);
    new ResizeObserver(() => layout(shown)).observe(shown.stage);
    box.dataset.shown = "true";
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      embed(entry.target);
    }
  }, {rootMargin: "300px"});
  const boxes = () => [...document.querySelectorAll(".plot[data-figure]")];
  const scan = () => {
    for (const [name, shown] of figures) {
      if (shown.box.isConnected || !shown.doc) continue;
      shown.views.clear();
      Bokeh.documents.splice(Bokeh.documents.indexOf(shown.doc), 1);
      figures.delete(name);
    }
    boxes().filter((box) => figures.get(box.dataset.figure)?.box !== box).forEach((box) => seen.observe(box));
  };
  const repaint = () => figures.forEach((shown) => { if (shown.doc) paint(shown); });
  const ready = (shown) => shown.doc !== undefined;

  const LIGHT = {mode: "light", paper: "#ffffff", ink: "#1f2933", muted: "#5c6875", grid: "#dde2e7"};
  addEventListener("beforeprint", () => {
    const font = getComputedStyle(document.body).fontFamily;
    boxes().forEach(embed);
    [...figures.values()].filter(ready).forEach((shown) => paint(shown, {...LIGHT, font}));
  });
  addEventListener("afterprint", repaint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  const readPicked = () => {  // the view's arms, where view.js is there
    if (!window.view) return;
    picked.clear();
    (window.view.get("arms") ?? "").split("~").filter(Boolean).forEach((arm) => picked.add(arm));
  };
  document.addEventListener("view-changed", () => {
    readPicked();
    emphasiseAll();
    for (const shown of [...figures.values()].filter(ready)) {
      let changed = false;
      for (const control of shown.spec.controls) {
        const kept = remembered(shown.name, control.key);
        if (kept === undefined || kept === null || kept === shown.state[control.key]) continue;
        if (!control.options.some(([value]) => value === kept)) continue;
        shown.state[control.key] = kept;
        const select = shown.controls.querySelector(`[data-control="${control.key}"]`);
        if (select) select.value = kept;
        changed = true;
      }
      if (changed) choose(shown);
    }
  });

  const update = (name, delta, metric) => {
    const shown = figures.get(name);
    if (!shown || !ready(shown)) return;
    kinds[shown.spec.kind].update?.(shown, delta, metric);
    emphasise(shown);
  };

  window.sweepFigures = {kinds, figures, picked, scan, update, theme};
  const begin = () => {
    document.body.append(probe);
    readPicked();
    window.Bokeh?.set_log_level("error");
    new MutationObserver(repaint).observe(document.documentElement, {attributes: true});
    scan();
    const rest = () => boxes().reduce((before, box) => before.then(() => embed(box)), Promise.resolve());
    (window.requestIdleCallback ?? setTimeout)(rest, {timeout: 3000});  // for printing, and for a fast scroll
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
