// The leaderboard: filters by words and by values of factors, and groups by a factor; all of it kept in the view as
// "filter", "where.FACTOR" and "group". Listens to "table-sorted", after which groups are formed anew.
"use strict";
(() => {
  const MOST = 100;  // rows at first, so that a sweep of a thousand arms answers at once

  function board(box) {
    const form = box.querySelector(".tools");
    const [words, group, count] = [".words", ".group", "output"].map((name) => form.querySelector(name));
    const body = box.querySelector("tbody");
    const nothing = box.querySelector(".nothing");
    const prefix = box.dataset.view && `${box.dataset.view}.`;
    const factors = [...form.querySelectorAll(".chips")];
    const rows = [...body.rows].map((row) => {
      const values = JSON.parse(row.dataset.factors);
      return { row, values, text: `${row.dataset.arm} ${Object.values(values).join(" ")}`.toLowerCase() };
    });
    const known = new Map(rows.map((entry) => [entry.row, entry]));
    const all = box.querySelector(".all");
    const wanted = (name) => (view.get(`${prefix}where.${name}`) ?? "").split("~").filter(Boolean);

    function filter() {
      const typed = (view.get(`${prefix}filter`) ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      const values = factors.map(({ dataset: { factor } }) => [factor, wanted(factor)]).filter(([, chosen]) => chosen.length);
      let shown = 0;
      for (const { row, values: own, text } of rows) {
        row.hidden = !(typed.every((word) => text.includes(word)) && values.every(([name, chosen]) => chosen.includes(own[name])));
        shown += !row.hidden;
      }
      count.value = shown === rows.length ? `${shown} arms` : `${shown} of ${rows.length} arms`;
      nothing.hidden = shown > 0;
      if (document.activeElement !== words) words.value = view.get(`${prefix}filter`) ?? "";
      for (const chips of factors) {
        const chosen = wanted(chips.dataset.factor);
        for (const chip of chips.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chosen.includes(chip.dataset.value)));
      }
      formGroups();
    }

    function formGroups() {
      const name = view.get(`${prefix}group`);
      for (const row of body.querySelectorAll(".grouped")) row.remove();
      if (group) group.value = [...group.options].some((option) => option.value === name) ? name : "";
      if (!group?.value) return shorten();
      const groups = new Map();
      for (const row of [...body.rows]) {
        const value = known.get(row).values[name] ?? "–";
        groups.set(value, [...(groups.get(value) ?? []), row]);
      }
      for (const [value, own] of groups) {
        const shown = own.filter((row) => !row.hidden).length;
        if (shown) body.append(heading(`${name.replaceAll("_", " ")} ${value} · ${shown} ${shown === 1 ? "arm" : "arms"}`));
        body.append(...own);
      }
      shorten();
    }

    // All rows take part in sorting and filtering; the first of them are laid out.
    function shorten() {
      let shown = 0;
      for (const row of body.rows) {
        shown += !row.hidden && !row.classList.contains("grouped");
        row.classList.toggle("later", !box.dataset.whole && shown > MOST);
      }
      all.hidden = Boolean(box.dataset.whole) || shown <= MOST;
      all.textContent = `Show all ${shown} arms`;
    }

    function heading(text) {
      const row = document.createElement("tr");
      row.className = "grouped";
      const cell = Object.assign(document.createElement("th"), { colSpan: 99, scope: "rowgroup", textContent: text });
      row.append(cell);
      return row;
    }

    words.addEventListener("input", () => view.set(`${prefix}filter`, words.value.trim()));
    group?.addEventListener("change", () => view.set(`${prefix}group`, group.value));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("click", (event) => {
      const chip = event.target.closest(".chip");
      if (!chip) return;
      const [name, value] = [chip.closest(".chips").dataset.factor, chip.dataset.value];
      const chosen = wanted(name);
      const next = chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value];
      view.set(`${prefix}where.${name}`, next.join("~"));
    });
    all.addEventListener("click", () => {
      box.dataset.whole = "true";
      shorten();
      [...body.rows].filter((row) => !row.hidden)[MOST]?.cells[0].focus();
    });
    box.addEventListener("table-sorted", formGroups);
    view.follow(box, (keys) => {
      if (keys.some((key) => key.startsWith(`${prefix}where.`) || [`${prefix}filter`, `${prefix}group`].includes(key))) filter();
    });
    form.hidden = false;
    filter();
  }

  view.each(".board", board);
})();
