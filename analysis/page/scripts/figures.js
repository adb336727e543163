// Shows the figures of a page: each when it comes into view, in the page's colours, joined with the tables.
//
// <div class="plot" data-figure="NAME"> is filled from <script type="application/json" id="figure-NAME">.
// A kind of figure (window.sweepFigures.kinds) knows its controls and what lies nearest to the mouse:
//   start(shown), layout(shown), choose(shown), nearest(shown, event) -> {arm, lines} or null, arms(shown) -> [arm]
// and one that grows update(shown, delta), which takes new numbers in, and draw(shown), which shows them
(() => {
  "use strict";
  const {kinds, theme, paint, sourcesOf} = window.sweepFigures;
  const figures = new Map();
  const picked = new Set();
  let hovered = null;

  // Emphasis: the arm pointed at, or the arms picked; all others step back.
  const FAINT = 0.25;
  const emphasise = (shown) => {
    const chosen = new Set(hovered === null ? picked : [hovered, ...picked]);
    const here = [...chosen].filter((arm) => shown.arms.has(arm));
    const emphasis = here.join("\n");
    if (shown.emphasis === emphasis) return;
    shown.emphasis = emphasis;
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
      const changed = {};
      for (const name of ["alpha", "whisker"].filter((column) => source.data[column])) {
        const key = `${source.id} ${name}`;
        if (shown.alphas.get(key)?.length !== source.data.arm.length) shown.alphas.set(key, source.data[name]);
        const usual = shown.alphas.get(key);
        const full = (i) => (here.length && name === "alpha" ? 1 : usual[i]);
        changed[name] = source.data.arm.map((arm, i) => (faint(arm) ? usual[i] * FAINT : full(i)));
      }
      if (Object.keys(changed).length) source.data = {...source.data, ...changed};
    }
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
    shown.reset.addEventListener("click", () => layout(shown));
    document.addEventListener("mouseup", () => setTimeout(() => { shown.reset.hidden = !zoomed(shown); }, 50),
      {signal: shown.swapped.signal});
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
        if (ready(shown)) choose(shown);
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
  };
  const limits = ({plot}) => [plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end];
  const zoomed = (shown) => limits(shown).some((end, i) => end !== shown.limits[i]);
  const layout = (shown) => {
    kinds[shown.spec.kind].layout(shown);
    shown.limits = limits(shown);
    shown.reset.hidden = true;
    shown.emphasis = null;  // the data are others
    emphasise(shown);
  };

  const part = (tag, name) => {
    const element = document.createElement(tag);
    element.className = name;
    return element;
  };
  const embed = async (box) => {
    const name = box.dataset.figure;
    if (figures.get(name)?.box === box) return;
    const spec = JSON.parse(document.getElementById(`figure-${name}`).textContent);
    const shown = {name, spec, box, state: {}, alphas: new Map(), arms: new Set(), swapped: new AbortController()};
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
    box.replaceChildren(shown.controls, shown.keys, shown.stage);
    shown.reset = Object.assign(part("button", "plot-reset"), {type: "button", textContent: "Whole figure", hidden: true});
    shown.stage.append(shown.tip, shown.reset);
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
    const resized = new ResizeObserver(() => layout(shown));
    resized.observe(shown.stage);
    shown.swapped.signal.addEventListener("abort", () => resized.disconnect());
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
      shown.swapped.abort();
      shown.views.clear();
      Bokeh.documents.splice(Bokeh.documents.indexOf(shown.doc), 1);
      figures.delete(name);
    }
    boxes().filter((box) => figures.get(box.dataset.figure)?.box !== box).forEach((box) => seen.observe(box));
  };
  const repaint = () => figures.forEach((shown) => { if (shown.doc) paint(shown); });
  const ready = (shown) => shown.doc !== undefined;

  // On paper: a still picture that scales with the page, since Bokeh lays out too late; dark colours turned round.
  const layers = (root) => [...root.querySelectorAll("*")].flatMap(
    (element) => (element.localName === "canvas" ? [element] : element.shadowRoot ? layers(element.shadowRoot) : []));
  const print = (shown) => {
    const still = part("canvas", "plot-print");
    const place = shown.canvas.getBoundingClientRect();
    const sharp = devicePixelRatio;
    Object.assign(still, {width: place.width * sharp, height: place.height * sharp});
    const context = still.getContext("2d");
    if (shown.mode === "dark") context.filter = "invert(1) hue-rotate(180deg)";
    for (const layer of layers(shown.canvas).filter((one) => one.width && one.height)) {
      const box = layer.getBoundingClientRect();
      if (!box.width) continue;
      context.drawImage(layer, (box.left - place.left) * sharp, (box.top - place.top) * sharp, box.width * sharp, box.height * sharp);
    }
    shown.canvas.after(still);
  };
  addEventListener("beforeprint", () => [...figures.values()].filter(ready).forEach(print));
  addEventListener("afterprint", () => document.querySelectorAll(".plot-print").forEach((still) => still.remove()));
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

  // New numbers; resolves when they are drawn. That is in a task of its own: Bokeh takes numbers in over several steps,
  // and fails where others, fewer ones, replace them before it is done.
  const update = (name, delta, metric) => {
    const shown = figures.get(name);
    if (!shown || !ready(shown)) return undefined;
    kinds[shown.spec.kind].update?.(shown, delta, metric);
    shown.drawn ??= new Promise((resolve) => setTimeout(() => {
      shown.drawn = null;
      if (figures.get(name) === shown) {
        kinds[shown.spec.kind].draw?.(shown);
        if (!zoomed(shown)) layout(shown);
      }
      resolve();
    }));
    return shown.drawn;
  };

  Object.assign(window.sweepFigures, {figures, picked, scan, update});
  const begin = () => {
    readPicked();
    window.Bokeh?.set_log_level("error");
    new MutationObserver(repaint).observe(document.documentElement, {attributes: true});
    scan();
    const rest = () => boxes().reduce((before, box) => before.then(() => embed(box)), Promise.resolve());
    (window.requestIdleCallback ?? setTimeout)(rest, {timeout: 3000});  // for printing, and for a fast scroll
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
