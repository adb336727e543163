// Parallel coordinates: the trial whose line is nearest is told, and its arm pointed at.
(() => {
  "use strict";
  const {kinds} = window.sweepFigures;
  const lines = (shown) => shown.plot.renderers.find((one) => one.name === "parallel/trials").data_source.data;
  const arms = (shown) => [...new Set(lines(shown).arm)].reverse();
  const start = (shown) => { shown.arms = new Set(lines(shown).arm); };
  const told = (shown, arm, index) => {
    const data = lines(shown);
    const i = index ?? data.arm.lastIndexOf(arm);
    return i < 0 ? null : {arm, lines: data.tip[i]};
  };
  const nearest = (shown, event) => {
    const {arm, y} = lines(shown);
    const left = Math.max(0, Math.min(shown.spec.data.axes - 2, Math.floor(event.x)));
    const share = Math.max(0, Math.min(1, event.x - left));
    const scale = shown.plot.inner_height / (shown.plot.y_range.end - shown.plot.y_range.start);
    let best = {distance: 12, index: -1};
    y.forEach((heights, index) => {
      const distance = Math.abs(heights[left] + (heights[left + 1] - heights[left]) * share - event.y) * scale;
      if (distance <= best.distance) best = {distance, index};
    });
    return best.index < 0 ? null : told(shown, arm[best.index], best.index);
  };
  kinds.parallel = {start, choose: () => {}, layout: () => {}, nearest, told, arms};
})();
