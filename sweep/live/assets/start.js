// The form that starts a new sweep: checked as it is typed, tried by a dry run, and started.
"use strict";
(() => {
  const form = document.getElementById("start");
  if (!form) return;
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const [checked, tried, started] = ["checked", "tried", "started"].map((id) => document.getElementById(id));
  const [dry, go] = ["dry", "go"].map((id) => document.getElementById(id));
  let timer = 0, latest = 0;

  const post = async (what) => {
    const answered = await fetch(`/new/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Sweep-Csrf": csrf },
      body: JSON.stringify({ spec: form.elements.spec.value }),
    });
    const text = await answered.text();
    return answered.headers.get("Content-Type")?.startsWith("application/json") ? JSON.parse(text) : { ok: false, text };
  };

  async function check() {
    const mine = ++latest;
    const answer = await post("check").catch(() => ({ ok: false, text: "The server did not answer." }));
    if (mine !== latest) return;
    checked.textContent = answer.text;
    checked.className = answer.ok ? "told" : "told refused";
    dry.disabled = go.disabled = !answer.ok;
  }

  async function during(button, what, told, meanwhile) {
    button.disabled = true;
    told.textContent = meanwhile;
    const answer = await post(what).catch(() => ({ ok: false, text: "The server did not answer." }));
    told.textContent = answer.text;
    told.className = answer.ok ? "told" : "told refused";
    button.disabled = false;
    return answer;
  }

  form.elements.preset.addEventListener("change", () => {
    const about = form.elements.preset.selectedOptions[0];
    if (about.value) form.elements.spec.value = `extends: ${about.value}\nname: ${about.value}\n`;
    check();
  });
  form.elements.spec.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(check, 300); });
  dry.addEventListener("click", () => during(dry, "dry-run", tried, "predicting memory, which takes some seconds …"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await during(go, "start", started, "starting …");
    if (answer.ok && answer.link) {
      const link = document.createElement("a");
      [link.href, link.textContent] = [answer.link, answer.link];
      started.append(" ", link);
    }
  });
  if (form.elements.spec.value.trim()) check();
})();
