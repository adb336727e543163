// The colours of figures: those of the page, and of each arm the one for its theme.
(() => {
  "use strict";
  // Colours: those of the page, whatever decides its theme.
  const probe = document.createElement("span");
  probe.hidden = true;
  const colourOf = (name) => {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const isDark = () => {
    const [r, g, b] = colourOf("paper").match(/[\d.]+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b < 128;
  };
  const theme = () => ({
    mode: isDark() ? "dark" : "light", paper: colourOf("paper"), ink: colourOf("ink"), muted: colourOf("muted"),
    grid: colourOf("grid"), font: getComputedStyle(document.body).fontFamily,
  });

  const set = (model, values) => {
    const known = Object.entries(values).filter(([name]) => name in model.properties);
    model.setv(Object.fromEntries(known));
  };
  const all = (value) => ({line_color: value, fill_color: value, text_color: value});

  const paint = (shown) => {
    const {mode, paper, ink, muted, grid, font} = theme();
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

  window.sweepFigures = {kinds: {}, theme, paint, sourcesOf};
})();
