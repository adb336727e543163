// Bars in rows: the row under the mouse is told, and there is room for the number behind each bar.
(() => {
  "use strict";
  const {kinds} = window.sweepFigures;
  const bars = (shown) => shown.plot.renderers.find((one) => one.name === `${shown.name}/bars`).data_source.data;
  const arms = (shown) => [...new Set(bars(shown).arm)];
  const told = (shown, arm) => {
    const {arm: labels, tip} = bars(shown);
    const i = labels.indexOf(arm);
    return i < 0 ? null : {arm, lines: tip[i]};
  };
  const start = (shown) => { shown.arms = new Set(arms(shown)); };
  const VALUE = 64;  // pixels of the number behind the longest bar
  const layout = ({plot, spec}) => {
    const [width, {start}] = [plot.inner_width, plot.x_range];
    if (!width) return;
    plot.x_range.end = start + (spec.data.reach - start) * width / (width - VALUE);
    if (plot.below[0].ticker.desired_num_ticks) plot.below[0].ticker.desired_num_ticks = Math.max(3, Math.round(width / 100));
  };
  const nearest = (shown, event) => {
    const {arm, y} = bars(shown);
    const i = y.findIndex((place) => Math.round(place) === Math.round(event.y));
    return i < 0 ? null : told(shown, arm[i]);
  };
  kinds.bars = {start, choose: () => {}, layout, nearest, told, arms};
})();
