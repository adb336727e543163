// Lets the figure of curves grow: the server sends the points that the page lacks, by metric and arm. All points are
// kept here, for a figure that is drawn anew, as when the report is worked out again.
"use strict";
(() => {
  const NAME = "curves";
  const metrics = new Map();  // metric -> arm -> columns
  let styles = {}, fed = null;

  const figure = () => window.sweepFigures?.figures.get(NAME);
  const whole = (columns) => Object.fromEntries(Object.entries(columns).filter(([, values]) => !values.includes(null)));
  const feed = (metric, delta) => {
    const shown = figure();
    if (!shown?.spec.data.metrics[metric]) return;
    const drawn = Object.entries(delta).filter(([arm, { style }]) => shown.arms.has(arm) || style?.named);  // the rest would be one grey
    if (drawn.length) window.sweepFigures.update(NAME, Object.fromEntries(drawn), metric);
  };

  function keep({ metrics: grown, styles: given }) {
    styles = { ...styles, ...given };
    for (const [metric, arms] of Object.entries(grown)) {
      const known = metrics.get(metric) ?? metrics.set(metric, new Map()).get(metric);
      const delta = {};
      for (const [arm, { start, ...columns }] of Object.entries(arms)) {
        const before = known.get(arm) ?? {};
        const joined = Object.entries(columns).map(([name, values]) => [name, [...(before[name] ?? []).slice(0, start), ...values]]);
        known.set(arm, Object.fromEntries(joined));
        delta[arm] = { from: start, columns: whole(columns), style: styles[arm] };
      }
      if (fed === figure()?.box) feed(metric, delta);
    }
  }

  function feedAnew() {
    const box = figure()?.doc && figure().box;
    if (!box || box === fed || box.dataset.shown !== "true") return;
    fed = box;
    for (const [metric, arms] of metrics) {
      const all = [...arms].map(([arm, columns]) => [arm, { from: 0, columns: whole(columns), style: styles[arm] }]);
      feed(metric, Object.fromEntries(all));
    }
  }

  document.addEventListener("curves-grew", ({ detail }) => keep(detail));
  document.addEventListener("section-swapped", () => window.sweepFigures?.scan());
  new MutationObserver(feedAnew).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["data-shown"] });
})();
