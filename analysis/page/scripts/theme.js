// Light or dark: as the system says, or as the view says; the button in the page's head switches.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => (["light", "dark"].includes(view.get("theme")) ? view.get("theme") : null);
  const shown = () => chosen() ?? (dark.matches ? "dark" : "light");

  function apply() {
    if (chosen()) document.documentElement.dataset.theme = chosen();
    else delete document.documentElement.dataset.theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = shown() === "dark" ? "Light" : "Dark";
  }

  document.addEventListener("view-changed", apply);
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = shown() === "dark" ? "light" : "dark";
      view.set("theme", next === (dark.matches ? "dark" : "light") ? null : next);
    });
    apply();
  });
  apply();
})();
