// Curves of arms: metric and axis by choice, names at the ends of lines, the trials of picked arms, new points.
(() => {
  "use strict";
  const {kinds, picked} = window.sweepFigures;
  const {LINE, LEADER, besides, width: wide} = window.sweepFigures.labels;

  const named = (shown) => shown.plot.renderers.filter((renderer) => renderer.glyph.type === "Line");
  const find = (shown, name) => shown.plot.renderers.find((one) => one.name === `${shown.name}/${name}`).data_source;
  const glyphs = (shown, type) => shown.plot.renderers.filter((one) => one.glyph.type === type).map((one) => one.glyph);
  const metricOf = (shown) => shown.spec.data.metrics[shown.state.y];
  const empty = () => ({step: [], tokens: [], seconds: [], mean: [], low: [], high: [], seeds: []});
  const number = (value) => Number(value).toLocaleString("en", {maximumSignificantDigits: 4});
  const SHORT = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});
  const last = (values) => values[values.length - 1];

  const start = (shown) => {
    const first = metricOf(shown).arms ? shown.spec.controls[0].options[0][0] : shown.state.y;
    const metric = shown.spec.data.metrics[first];
    metric.arms = Object.fromEntries(named(shown).map((line) => [line.tags[0].arm, line.data_source.data]));
    metric.others = find(shown, "others").data;
    shown.arms = new Set([...Object.keys(metric.arms), ...metric.others.arm]);
  };

  const draw = (shown) => {
    const metric = metricOf(shown);
    for (const line of named(shown)) line.data_source.data = metric.arms[line.tags[0].arm] ?? empty();
    find(shown, "others").data = metric.others;
  };

  const choose = (shown) => {
    const metric = metricOf(shown);
    const x = {field: shown.state.x};
    draw(shown);
    for (const type of ["Line", "VArea"]) glyphs(shown, type).forEach((glyph) => { glyph.x = x; });
    glyphs(shown, "MultiLine").forEach((glyph) => { glyph.xs = x; });
    const axes = Object.fromEntries(shown.spec.controls[1].options);
    shown.plot.below[0].axis_label = axes[shown.state.x];
    shown.plot.left[0].axis_label = metric.label;
  };

  const layout = (shown) => {
    const {plot, state} = shown;
    const metric = metricOf(shown);
    const [width, height] = [plot.inner_width, plot.inner_height];
    if (!width || !height) return;
    const lines = named(shown).filter((line) => line.data_source.data.mean.length);
    const ends = lines.map((line) => {
      const data = line.data_source.data;
      return {arm: line.tags[0].arm, x: last(data[state.x]), y: last(data.mean), tag: line.tags[0]};
    }).sort((a, b) => b.y - a.y);
    const others = find(shown, "others").data;
    const furthest = Math.max(...ends.map((end) => end.x), ...(others[state.x] ?? []).map(last), 1e-9);
    const {room, gutter} = wide(ends.map((end) => end.arm), width);
    const begin = state.part === "late" ? furthest / 2 : 0;
    const [low, high] = state.part === "late" ? metric.late : metric.range;
    plot.x_range.setv({start: begin, end: begin + (furthest - begin) * width / (width - gutter)});
    plot.y_range.setv({start: low, end: high});
    plot.below[0].bounds = [begin, furthest];
    for (const axis of [plot.below[0], plot.left[0]]) {
      axis.ticker.desired_num_ticks = Math.max(3, Math.round((axis === plot.below[0] ? width - gutter : height) / 90));
    }
    const across = furthest + (furthest - begin) * LEADER / (width - gutter);
    find(shown, "labels").data = besides(ends, {across, low, high, height, room, mode: shown.mode ?? "light"});
    const marks = ends.filter((end) => end.arm in shown.spec.data.ends);
    find(shown, "ends").data = {
      arm: marks.map((end) => end.arm), x: marks.map((end) => end.x), y: marks.map((end) => end.y),
      marker: marks.map((end) => shown.spec.data.ends[end.arm]), light: marks.map((end) => end.tag.light),
      dark: marks.map((end) => end.tag.dark), colour: marks.map((end) => end.tag[shown.mode ?? "light"]), alpha: marks.map(() => 1),
    };
  };

  const emphasised = (shown) => {
    const {state} = shown;
    const trials = {step: [], tokens: [], seconds: [], value: [], colour: []};
    for (const line of named(shown)) {
      if (!picked.has(line.tags[0].arm)) continue;
      for (const trial of metricOf(shown).trials[line.tags[0].arm] ?? []) {
        if (!trial[state.x]) continue;
        for (const name of ["step", "tokens", "seconds"]) trials[name].push(trial[name] ?? []);
        trials.value.push(trial.value);
        trials.colour.push(line.tags[0][shown.mode]);
      }
    }
    find(shown, "trials").data = trials;
  };

  const place = (xs, x) => {  // of the point nearest to x
    let [low, high] = [0, xs.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle; else high = middle;
    }
    return x - xs[low] < xs[high] - x ? low : high;
  };
  const height_at = (xs, ys, x) => {
    if (x > last(xs) || x < xs[0]) return null;
    const i = place(xs, x);
    const j = xs[i] < x ? Math.min(i + 1, xs.length - 1) : Math.max(i - 1, 0);
    return xs[i] === xs[j] ? ys[i] : ys[i] + (ys[j] - ys[i]) * (x - xs[i]) / (xs[j] - xs[i]);
  };

  const told = (shown, arm, index) => {
    const metric = metricOf(shown);
    const own = metric.arms[arm];
    const row = metric.others.arm.indexOf(arm);
    const columns = own ?? (row < 0 ? null : Object.fromEntries(
      Object.entries(metric.others).filter(([name]) => name !== "arm").map(([name, values]) => [name, values[row]])));
    if (!columns?.mean.length) return null;
    const i = index ?? columns.mean.length - 1;
    const at = {step: `step ${number(columns.step[i])}`};
    for (const name of ["tokens", "seconds"]) {
      if (columns[name]) at[name] = `${SHORT.format(columns[name][i])} ${name}`;
    }
    const seeds = columns.seeds?.[i] ?? 1;
    const band = seeds > 1 ? ` (${number(columns.low[i])} to ${number(columns.high[i])}, ${seeds} seeds)` : "";
    return {arm, lines: [arm, `${metric.label.split(",")[0]} ${number(columns.mean[i])}${band}`, Object.values(at).join(" · ")]};
  };

  const nearest = (shown, event) => {
    const {plot, state} = shown;
    const metric = metricOf(shown);
    const scale = plot.inner_height / (plot.y_range.end - plot.y_range.start);
    let best = {distance: 24, arm: null};
    const offer = (arm, xs, ys) => {
      if (!xs?.length) return;
      const y = height_at(xs, ys, event.x);
      const distance = y === null ? Infinity : Math.abs(y - event.y) * scale;
      if (distance < best.distance) best = {distance, arm, index: place(xs, event.x)};
    };
    for (const [arm, columns] of Object.entries(metric.arms)) offer(arm, columns[state.x], columns.mean);
    const labels = find(shown, "labels").data;
    if (event.x > last(plot.below[0].bounds)) {
      labels.label_y.forEach((y, i) => {
        const distance = Math.abs(y - event.y) * scale;
        if (distance < Math.min(best.distance, LINE / 2)) best = {distance, arm: labels.arm[i]};
      });
    }
    best.distance = Math.min(best.distance, best.arm === null ? 6 : best.distance);
    metric.others.arm.forEach((arm, i) => offer(arm, metric.others[state.x]?.[i], metric.others.mean[i]));
    return best.arm === null ? null : told(shown, best.arm, best.index);
  };

  // New points of a running sweep: delta is {arm: {from, columns, style}}, from an index of that arm's points on.
  const update = (shown, delta, name = shown.spec.controls[0].options[0][0]) => {
    const metric = shown.spec.data.metrics[name];
    const grey = new Map();  // what is new of the arms without a name, by their place
    for (const [arm, {from, columns, style}] of Object.entries(delta)) {
      const row = metric.others.arm.indexOf(arm);
      if (row >= 0) {
        grey.set(row, {from, columns});
        continue;
      }
      if (!shown.arms.has(arm)) add(shown, arm, style);
      const before = metric.arms[arm] ?? empty();
      const missing = (count) => Array(Math.max(0, count)).fill(NaN);  // what no row has said
      metric.arms[arm] = Object.fromEntries([...new Set([...Object.keys(before), ...Object.keys(columns)])].map((key) => {
        const kept = (before[key] ?? []).slice(0, from);
        return [key, [...kept, ...missing(from - kept.length), ...(columns[key] ?? missing(columns.step.length))]];
      }));
      const [low, high] = metric.range;
      const margin = 0.04 * (high - low);
      metric.range[0] = Math.min(low, ...columns.mean.filter(Number.isFinite).map((value) => value - margin));
      metric.late[0] = Math.min(metric.late[0], metric.range[0]);
    }
    const longer = (values, place, key) => {
      const tail = grey.get(place);
      return tail?.columns[key] ? [...values.slice(0, tail.from), ...tail.columns[key]] : values;
    };
    metric.others = Object.fromEntries(Object.entries(metric.others).map(([key, all]) => [
      key, key === "arm" ? all : all.map((values, place) => longer(values, place, key))]));
  };

  // An arm that began after the page was made: as the first one is drawn, in colours of its own.
  const add = (shown, arm, style = {light: "#5c6875", dark: "#9aa7b4", dash: []}) => {
    const tag = {arm, light: style.light, dark: style.dark};
    const [model] = named(shown);
    const data_source = new model.data_source.constructor({data: empty(), name: `${shown.name}/${arm}`});
    const made = (of, values) => new of.constructor({
      data_source, name: `${shown.name}/${arm}`, tags: [tag], view: new of.view.constructor(),
      glyph: new of.glyph.constructor({...values, x: {field: shown.state.x}}),
    });
    const band = shown.plot.renderers.find((one) => one.glyph.type === "VArea");
    const colour = {value: tag[shown.mode]};
    shown.plot.renderers = [
      ...shown.plot.renderers,
      made(band, {y1: {field: "low"}, y2: {field: "high"}, fill_alpha: {value: 0.16}, fill_color: colour}),
      made(model, {y: {field: "mean"}, line_width: {value: 2.2}, line_color: colour, line_dash: {value: style.dash ?? []}}),
    ];
    shown.arms.add(arm);
  };

  const arms = (shown) => find(shown, "labels").data.arm;
  kinds.curves = {start, choose, layout, emphasised, nearest, told, arms, update, draw};
})();
