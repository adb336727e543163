// Searches, orders and opens the prompts of a report. Without it the page is whole, only longer.
"use strict";
view.each("#prompts", () => {
  const ids = ["tools", "words", "order", "open", "found", "nothing", "prompts", "more"];
  const [tools, words, order, open, found, nothing, list, more] = ids.map((id) => document.getElementById(id));
  const prompts = [...list.children];  // in the order of the file: most disagreement first
  const said = (prompt) => [...prompt.querySelectorAll(".said")].flatMap((element) => [...element.childNodes]);
  const texts = new Map(prompts.map((prompt) => [prompt, said(prompt)]));
  const highlight = "highlights" in CSS ? new Highlight() : null;
  if (highlight) CSS.highlights.set("found", highlight);

  const pattern = (wanted, flags) =>
    new RegExp(wanted.map((word) => word.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&")).join("|"), flags);

  function search() {
    const wanted = words.value.split(/\s+/).filter(Boolean);
    const each = wanted.map((word) => pattern([word], "iu"));
    const shown = prompts.filter((prompt) => each.every((word) => texts.get(prompt).some((text) => word.test(text.data))));
    for (const prompt of prompts) prompt.hidden = true;
    for (const prompt of shown) prompt.hidden = false;
    more.hidden = !list.classList.contains("short") || shown.length <= 10;
    nothing.hidden = shown.length > 0;
    found.value = wanted.length ? `${shown.length} of ${prompts.length} prompts` : `${prompts.length} prompts`;
    mark(wanted, shown);
  }

  function mark(wanted, shown) {
    if (!highlight) return;
    highlight.clear();
    if (!wanted.length) return;
    const any = pattern(wanted, "giu");
    for (const text of shown.flatMap((prompt) => texts.get(prompt))) {
      for (const { index, 0: match } of text.data.matchAll(any)) {
        const place = { startContainer: text, startOffset: index, endContainer: text, endOffset: index + match.length };
        highlight.add(new StaticRange(place));
      }
    }
  }

  function sort() {
    const asked = [...prompts].sort((a, b) => a.dataset.number - b.dataset.number);
    list.append(...(order.value === "asked" ? asked : prompts));
  }

  words.addEventListener("input", search);
  tools.addEventListener("submit", (event) => event.preventDefault());
  order.addEventListener("change", sort);
  open.addEventListener("click", () => {
    const closing = open.textContent === "Close all";
    for (const prompt of prompts) prompt.open = !closing;
    open.textContent = closing ? "Open all" : "Close all";
  });
  more.addEventListener("click", () => {
    list.classList.remove("short");
    more.hidden = true;
    [...list.querySelectorAll(".prompt:not([hidden]) > summary")][10].focus();
  });
  list.classList.add("short");
  tools.hidden = false;
  sort();  // a browser may have kept order and words over a reload
  search();
});
