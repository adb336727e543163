// Joins whatever shows an arm (`data-arm`): hovering and picking one dispatch "arm-hover" and "arm-pick" on the document,
// from tables and figures alike. Picked arms are the view's "arms", joined by "~".
"use strict";
(() => {
  const picked = () => (view.get("arms") ?? "").split("~").filter(Boolean);
  const showing = (arm) => document.querySelectorAll(`[data-arm="${CSS.escape(arm)}"]`);
  const tell = (name, arm) => document.dispatchEvent(new CustomEvent(name, { detail: { arm } }));
  let hovered = null;

  function mark(name, arms) {
    for (const element of document.querySelectorAll(`.${name}`)) element.classList.remove(name);
    for (const element of arms.flatMap((arm) => [...showing(arm)])) element.classList.add(name);
  }

  function hover(event) {
    const arm = event.target.closest?.("[data-arm]")?.dataset.arm ?? null;
    if (arm !== hovered) tell("arm-hover", arm);
  }

  document.addEventListener("mouseover", hover);
  document.addEventListener("focusin", (event) => event.target.closest?.("[data-arm]") && hover(event));
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-arm]");
    if (row && !event.target.closest("a, button, input, summary") && getSelection().isCollapsed) tell("arm-pick", row.dataset.arm);
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest?.("tr[data-arm]");
    if (!row || event.target.localName !== "th") return;
    const rows = [...row.parentElement.querySelectorAll("tr[data-arm]:not([hidden])")];
    const to = { ArrowDown: rows[rows.indexOf(row) + 1], ArrowUp: rows[rows.indexOf(row) - 1] }[event.key];
    if (to) {
      event.target.tabIndex = -1;
      to.cells[0].tabIndex = 0;
      to.cells[0].focus();
    } else if (event.key === "Enter" || event.key === " ") tell("arm-pick", row.dataset.arm);
    else return;
    event.preventDefault();
  });
  document.addEventListener("arm-hover", ({ detail: { arm } }) => {
    hovered = arm;
    mark("hovered", arm === null ? [] : [arm]);
  });
  document.addEventListener("arm-pick", ({ detail: { arm } }) => {
    const before = picked();
    view.set("arms", (before.includes(arm) ? before.filter((other) => other !== arm) : [...before, arm]).join("~"));
  });
  const apply = () => mark("picked", picked());
  document.addEventListener("view-changed", ({ detail: { keys } }) => keys.includes("arms") && apply());
  view.each("tbody", (body) => {
    const first = body.querySelector("tr[data-arm]");
    if (first) first.cells[0].tabIndex = 0;
  });
  document.addEventListener("section-swapped", apply);
  apply();
})();
