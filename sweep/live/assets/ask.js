// Buttons and forms that ask the running sweep for something. The answer comes as the sweep gives it.
"use strict";
(() => {
  const address = document.body.dataset.ask;
  if (!address) return;
  const csrf = document.querySelector('meta[name="csrf"]').content;

  async function post(words, told) {
    told.textContent = "asking …";
    try {
      const answered = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Sweep-Csrf": csrf },
        body: JSON.stringify({ words }),
      });
      const answer = answered.headers.get("Content-Type")?.startsWith("application/json") ? await answered.json() : null;
      told.textContent = answer ? answer.text : await answered.text();
      told.className = answered.ok ? "told" : "told refused";
    } catch {
      told.textContent = "The server did not answer. Nothing may have been asked.";
      told.className = "told refused";
    }
    document.dispatchEvent(new CustomEvent("asked"));
  }

  const told = () => document.getElementById("told");
  const close = () => { told().textContent = ""; };
  told().addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-ask]");
    if (!button || (button.dataset.sure && !confirm(button.dataset.sure))) return;
    post(JSON.parse(button.dataset.ask), told());
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-ask]");
    if (!form) return;
    event.preventDefault();
    const fields = new FormData(form);
    const words = JSON.parse(form.dataset.ask).map((word) => word.replace(/\{(\w+)\}/g, (_, name) => fields.get(name).trim()));
    post(words.filter(Boolean), told());
  });
})();
