// Loss against the learning rate, by group; the axis of rates is logarithmic.
(() => {
  "use strict";
  const {kinds} = window.sweepFigures;
  const {LEADER, besides, width: wide} = window.sweepFigures.labels;
  const find = (shown, name) => shown.plot.renderers.find((one) => one.name === `learning_rates/${name}`).data_source;
  const metricOf = (shown) => shown.spec.data.metrics[shown.state.y];
  const {log10} = Math;

  const start = (shown) => {
    const first = shown.spec.data.metrics[shown.spec.controls[0].options[0][0]];
    Object.assign(first, {lines: find(shown, "lines").data, points: find(shown, "points").data});
  };
  const choose = (shown) => {
    const {lines, points, label} = metricOf(shown);
    shown.arms = new Set(points.arm);
    find(shown, "lines").data = {...lines};
    find(shown, "points").data = {...points};
    shown.plot.left[0].axis_label = label;
  };

  const layout = (shown) => {
    const {plot} = shown;
    const {lines, rates, range: [low, high]} = metricOf(shown);
    const [width, height] = [plot.inner_width, plot.inner_height];
    if (!width || !height) return;
    const ends = lines.arm.map((arm, i) => ({
      arm, x: lines.x[i].at(-1), y: lines.y[i].at(-1), tag: {light: lines.light[i], dark: lines.dark[i]},
    })).filter((end, i) => lines.named[i]).sort((a, b) => b.y - a.y);
    const {room, gutter} = wide(ends.map((end) => end.arm), width - 24);
    const [first, last] = [log10(rates[0]), log10(rates[1])];
    const decades = (last - first || 1) / (width - 24 - gutter);  // of a pixel
    plot.x_range.setv({start: 10 ** (first - 12 * decades), end: 10 ** (last + (gutter + 12) * decades)});
    plot.y_range.setv({start: low, end: high});
    plot.below[0].bounds = [10 ** (first - 12 * decades), 10 ** (last + 6 * decades)];
    const across = 10 ** (last + (LEADER + 6) * decades);
    find(shown, "labels").data = besides(ends, {across, low, high, height, room, mode: shown.mode ?? "light"});
  };

  const told = (shown, arm, index) => {
    const {points} = metricOf(shown);
    const best = points.arm.findIndex((one, i) => one === arm && points.marker[i] === "star");
    const i = index ?? best;
    return i < 0 ? null : {arm, lines: points.tip[i]};
  };
  const nearest = (shown, event) => {
    const {plot} = shown;
    const {points} = metricOf(shown);
    const wide = plot.inner_width / log10(plot.x_range.end / plot.x_range.start);
    const high = plot.inner_height / (plot.y_range.end - plot.y_range.start);
    let best = {distance: 26, arm: null};
    points.arm.forEach((arm, i) => {
      const distance = Math.hypot(log10(points.x[i] / event.x) * wide, (points.y[i] - event.y) * high);
      if (distance < best.distance) best = {distance, arm, index: i};
    });
    return best.arm === null ? null : told(shown, best.arm, best.index);
  };
  const arms = (shown) => [...new Set(metricOf(shown).points.arm)];
  kinds.rates = {start, choose, layout, nearest, told, arms};
})();
