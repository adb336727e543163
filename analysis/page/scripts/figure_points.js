// Points of arms by two numbers, each chosen by the reader; the front of those that none dominates.
(() => {
  "use strict";
  const {kinds, theme} = window.sweepFigures;
  const ruler = document.createElement("canvas").getContext("2d");
  const PLACES = [0, -13, 13, -26, 26].flatMap((down) => [[1, down], [-1, down]]);  // of a name beside its point
  const find = (shown, name) => shown.plot.renderers.find((one) => one.name === name);
  const points = (shown) => find(shown, "pareto/arms").data_source;
  const number = (value) => Number(value).toLocaleString("en", {maximumSignificantDigits: 4});
  const options = (shown) => Object.fromEntries(shown.spec.controls[0].options);

  const start = (shown) => { shown.arms = new Set(points(shown).data.arm); };

  const choose = (shown) => {
    const {x, y} = shown.state;
    const field = (name) => ({field: name});
    find(shown, "pareto/arms").glyph.setv({x: field(x), y: field(y)});
    const data = points(shown).data;
    const end = (key, which) => field(`${key} ${which}` in data ? `${key} ${which}` : key);  // not all have intervals
    find(shown, "pareto/whiskers x").glyph.setv({x0: end(x, "low"), x1: end(x, "high"), y0: field(y), y1: field(y)});
    find(shown, "pareto/whiskers y").glyph.setv({x0: field(x), x1: field(x), y0: end(y, "low"), y1: end(y, "high")});
    shown.plot.below[0].axis_label = options(shown)[x];
    shown.plot.left[0].axis_label = options(shown)[y];
  };

  const front = (shown) => {
    const {x, y} = shown.state;
    const {fronts, lower} = shown.spec.data;
    const data = points(shown).data;
    const places = [...(fronts[`${x}|${y}`] ?? fronts[`${y}|${x}`] ?? [])].sort((a, b) => data[x][a] - data[x][b]);
    const line = {x: [], y: []};
    places.forEach((place, i) => {  // a step lies on the side of the worse
      if (i) {
        line.x.push(data[x][lower[x] ? place : places[i - 1]]);
        line.y.push(data[y][lower[x] ? places[i - 1] : place]);
      }
      line.x.push(data[x][place]);
      line.y.push(data[y][place]);
    });
    return {places, line};
  };

  const reach = (values, share) => {
    const finite = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const span = (high - low) || Math.abs(high) || 1;
    return {start: low - share * span, end: high + share * span};
  };

  const layout = (shown) => {
    const {plot, state: {x, y}} = shown;
    const data = points(shown).data;
    const [width, height] = [plot.inner_width, plot.inner_height];
    if (!width || !height) return;
    plot.x_range.setv(reach(data[x], 0.08));
    const drawn = data[y].map((_, i) => i).filter((i) => data.named[i]);
    const limits = (end) => drawn.map((i) => data[`${y} ${end}`]?.[i]);
    plot.y_range.setv(reach([...data[y], ...limits("low"), ...limits("high")], 0.08));
    plot.below[0].ticker.desired_num_ticks = Math.max(3, Math.round(width / 100));
    const best = front(shown);
    find(shown, "pareto/front").data_source.data = best.line;
    find(shown, "pareto/names").data_source.data = names(shown, best.places, width, height);
  };

  // Names where they cover no point and no other name, those of the front first.
  const names = (shown, best, width, height) => {
    const {plot, state: {x, y}} = shown;
    const data = points(shown).data;
    const left = (value) => (value - plot.x_range.start) / (plot.x_range.end - plot.x_range.start) * width;
    const top = (value) => (plot.y_range.end - value) / (plot.y_range.end - plot.y_range.start) * height;
    ruler.font = `12px ${theme().font}`;
    const known = data.arm.map((_, i) => i).filter((i) => Number.isFinite(data[x][i]) && Number.isFinite(data[y][i]));
    const taken = known.filter((i) => data.named[i]).map((i) => [left(data[x][i]) - 6, top(data[y][i]) - 6, 12, 12]);
    const line = front(shown).line;
    for (let i = 1; i < line.x.length; i += 1) {
      const [[x0, x1], [y0, y1]] = [[left(line.x[i - 1]), left(line.x[i])], [top(line.y[i - 1]), top(line.y[i])]];
      taken.push([Math.min(x0, x1), Math.min(y0, y1) - 1, Math.abs(x1 - x0) + 1, Math.abs(y1 - y0) + 2]);
    }
    const whiskers = [];  // covered by a name only where it finds no other place
    for (const i of known.filter((one) => data.named[one])) {
      const [above, below] = [data[`${y} high`]?.[i], data[`${y} low`]?.[i]];
      if (Number.isFinite(above)) whiskers.push([left(data[x][i]) - 1, top(above), 2, top(below) - top(above)]);
    }
    const meets = (a, b) => a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
    const columns = {arm: [], label: [], x: [], y: [], align: [], offset: [], alpha: []};
    const wanted = [...best, ...known.filter((i) => data.named[i] && !best.includes(i))].slice(0, 30);
    for (const i of wanted) {
      const wide = ruler.measureText(data.arm[i]).width;
      for (const [[side, down], others] of [...PLACES.map((one) => [one, [...taken, ...whiskers]]), ...PLACES.map((one) => [one, [...taken]])]) {
        const [px, py] = [left(data[x][i]), top(data[y][i]) + down];
        const box = [side > 0 ? px + 9 : px - 9 - wide, py - 7, wide, 14];
        const inside = box[0] >= 0 && box[0] + wide <= width && box[1] >= 0 && box[1] + 14 <= height;
        if (!inside || others.some((other) => meets(box, other))) continue;
        taken.push(box);
        columns.arm.push(data.arm[i]);
        columns.label.push(data.arm[i]);
        columns.x.push(data[x][i]);
        columns.y.push(plot.y_range.end - py / height * (plot.y_range.end - plot.y_range.start));
        columns.align.push(side > 0 ? "left" : "right");
        columns.offset.push(side * 9);
        columns.alpha.push(1);
        break;
      }
    }
    return columns;
  };

  const told = (shown, arm) => {
    const data = points(shown).data;
    const i = data.arm.indexOf(arm);
    if (i < 0) return null;
    const lines = Object.entries(options(shown)).filter(([key]) => Number.isFinite(data[key][i])).map(([key, label]) => {
      const [low, high] = [data[`${key} low`]?.[i], data[`${key} high`]?.[i]];
      const [name, unit] = label.split(", ");
      const interval = Number.isFinite(low) ? ` [${number(low)}, ${number(high)}]` : "";
      return `${name} ${number(data[key][i])}${interval}${unit ? ` ${unit}` : ""}`;
    });
    return {arm, lines: [arm, ...lines]};
  };

  const nearest = (shown, event) => {
    const {plot, state: {x, y}} = shown;
    const data = points(shown).data;
    const [wide, high] = [plot.inner_width / (plot.x_range.end - plot.x_range.start), plot.inner_height / (plot.y_range.end - plot.y_range.start)];
    let best = {distance: 22, arm: null};
    data.arm.forEach((arm, i) => {
      const distance = Math.hypot((data[x][i] - event.x) * wide, (data[y][i] - event.y) * high);
      if (distance < best.distance) best = {distance, arm};
    });
    return best.arm === null ? null : told(shown, best.arm);
  };

  const arms = (shown) => points(shown).data.arm;
  kinds.pareto = {start, choose, layout, nearest, told, arms};
})();
