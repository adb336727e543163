// Names at the right of a plot, level with the ends of its lines, moved apart no further than they must.
(() => {
  "use strict";
  const LINE = 15;    // pixels from one name to the next
  const LEADER = 26;  // pixels from the end of a line to its name
  const ruler = document.createElement("canvas").getContext("2d");
  const measure = (text) => {
    ruler.font = `12px ${window.sweepFigures.theme().font}`;
    return ruler.measureText(text).width;
  };

  // How wide the names may be, and the space that they take of a plot so wide.
  const width = (names, plot) => {
    const room = Math.min(Math.max(0, ...names.map(measure)), 0.42 * plot - LEADER);
    return {room, gutter: names.length ? room + LEADER + 10 : 8};
  };

  // Names that meet become a block, which stands where its names want to be on average.
  const apart = (places, room) => {
    const blocks = [];
    for (const place of places) {
      blocks.push({places: [place]});
      for (;;) {
        const block = blocks[blocks.length - 1];
        const wanted = block.places.reduce((sum, one, i) => sum + one - i * LINE, 0) / block.places.length;
        const height = (block.places.length - 1) * LINE;
        block.top = Math.max(LINE / 2, Math.min(wanted, room - LINE / 2 - height));
        const above = blocks[blocks.length - 2];
        if (!above || above.top + above.places.length * LINE <= block.top) break;
        blocks.pop();
        above.places.push(...block.places);
      }
    }
    return blocks.flatMap((block) => block.places.map((_, i) => block.top + i * LINE));
  };

  const shortened = (text, room) => {
    if (measure(text) <= room) return text;
    let end = text.length;
    while (end > 4 && measure(`${text.slice(0, end)}…`) > room) end -= 1;
    return `${text.slice(0, end).trimEnd()}…`;
  };

  // Columns of the names of ends [{arm, x, y, tag}], highest first, at `across` in the plot's own numbers.
  const besides = (ends, {across, low, high, height, room, mode}) => {
    const down = ends.map((end) => Math.min(height, Math.max(0, (high - end.y) / (high - low) * height)));
    const places = apart(down, height);
    const of = (value) => ends.map(value);
    return {
      arm: of((end) => end.arm), label: of((end) => shortened(end.arm, room)),
      x: of((end) => end.x), y: of((end) => Math.min(high, end.y)),
      label_x: of(() => across), label_y: places.map((place) => high - place / height * (high - low)),
      light: of((end) => end.tag.light), dark: of((end) => end.tag.dark), colour: of((end) => end.tag[mode]),
      alpha: of(() => 1),
    };
  };

  window.sweepFigures.labels = {LINE, LEADER, measure, width, besides};
})();
