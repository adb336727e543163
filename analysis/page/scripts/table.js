// Every table: sorting by its headings and a choice of columns, both kept in the view as "TABLE.sort" and
// "TABLE.columns"; the first leaderboard's are "sort" and "columns". Dispatches "table-sorted" on the table's box.
"use strict";
(() => {
  const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, M: 1e6, k: 1e3, "%": 1 };
  const NUMBER = /^[<≈]?\s*([+\-−]?[\d,]*\.?\d+(?:e[+-]?\d+)?)\s*(B|KiB|MiB|GiB|TiB|M|k|%)?(?=$|[\s[\]/@,–])/;

  // The number that a cell sorts by: what it says itself, or what its text begins with; null where there is none.
  function number(cell) {
    if (cell.dataset.v !== undefined) return cell.dataset.v === "" ? null : Number(cell.dataset.v);
    const match = NUMBER.exec(cell.textContent.trim());
    return match ? Number(match[1].replaceAll(",", "").replace("−", "-")) * (UNITS[match[2]] ?? 1) : null;
  }

  function sortable(box) {
    const table = box.querySelector("table.data");
    const headings = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const prefix = (box.dataset.view ?? box.dataset.table) && `${box.dataset.view ?? box.dataset.table}.`;
    const key = (place) => headings[place].dataset.key;

    function sort() {
      const wanted = view.get(`${prefix}sort`) ?? "";
      const down = wanted.startsWith("-");
      const place = headings.findIndex((heading) => heading.dataset.key === wanted.replace(/^-/, ""));
      for (const heading of headings) heading.removeAttribute("aria-sort");
      body.replaceChildren(...(place < 0 ? rows : sorted(place, down)));
      if (place >= 0) headings[place].setAttribute("aria-sort", down ? "descending" : "ascending");
      box.dispatchEvent(new CustomEvent("table-sorted"));
    }

    function sorted(place, down) {
      const cells = rows.map((row) => ({ row, number: number(row.cells[place]), text: row.cells[place].textContent.trim() }));
      const numeric = cells.filter((cell) => cell.number !== null).length * 2 > cells.filter((cell) => cell.text !== "–").length;
      const missing = (cell) => (numeric ? cell.number === null : cell.text === "–");
      const compare = (a, b) => (numeric ? a.number - b.number : a.text.localeCompare(b.text, undefined, { numeric: true }));
      cells.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : (down ? -1 : 1) * compare(a, b)));
      return cells.map((cell) => cell.row);
    }

    function chosen() {
      const kept = view.get(`${prefix}columns`);
      if (kept === null) return headings.map((heading) => "core" in heading.dataset);
      return headings.map((heading, place) => place === 0 || kept.split(",").includes(key(place)));
    }

    function choose() {
      const shown = chosen();
      shown.forEach((is, place) => table.classList.toggle(`hide-${place + 1}`, !is));
      for (const input of box.querySelectorAll(".columns input")) input.checked = shown[input.value];
    }

    function menu() {
      const menu = document.createElement("details");
      menu.className = "columns";
      menu.innerHTML = "<summary>Columns</summary><fieldset></fieldset>";
      headings.forEach((heading, place) => {
        if (place === 0) return;
        const label = document.createElement("label");
        const input = Object.assign(document.createElement("input"), { type: "checkbox", value: place });
        input.addEventListener("change", () => {
          const shown = chosen();
          shown[place] = input.checked;
          const same = shown.every((is, at) => is === "core" in headings[at].dataset);
          view.set(`${prefix}columns`, same ? null : headings.map((_, at) => key(at)).filter((_, at) => shown[at]).join(","));
        });
        label.append(input, heading.textContent);
        menu.lastChild.append(label);
      });
      const tools = box.querySelector(".tools");
      if (tools) tools.append(menu);
      else box.prepend(menu);
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        menu.open = false;
        menu.firstChild.focus();
      });
    }

    if (headings.some((heading) => !("core" in heading.dataset))) menu();
    if (rows.length > 1) {
      for (const heading of headings) {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...heading.childNodes);
        button.addEventListener("click", () => {
          const name = heading.dataset.key;
          const next = { [name]: `-${name}`, [`-${name}`]: null }[view.get(`${prefix}sort`)];
          view.set(`${prefix}sort`, next === undefined ? name : next);
        });
        heading.append(button);
      }
    }
    view.follow(box, (keys) => {
      if (keys.includes(`${prefix}sort`)) sort();
      if (keys.includes(`${prefix}columns`)) choose();
    });
    choose();
    if (view.get(`${prefix}sort`)) sort();
  }

  view.each(".table", sortable);
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".columns[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
})();
