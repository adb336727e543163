// Follows the server: asks for what has changed since the last answer, and swaps it in where it stands.
// What the reader has done stays: open folds, what is typed, the focus, and the place on the screen.
"use strict";
(() => {
  const address = document.body.dataset.deltas;
  const main = document.getElementById("main");
  const lost = document.getElementById("lost");
  if (!address) return;
  const MOST_WAIT = 15000;
  let cursor = "", timer = 0, failures = 0, busy = false;

  // A name for an element that holds over a swap: its own id, or its place among its kind.
  const names = (root, selector) => {
    const seen = new Map();
    return [...root.querySelectorAll(selector)].map((element) => {
      const words = element.id || element.name || element.querySelector(":scope > summary")?.textContent || element.className;
      const count = (seen.get(words) ?? 0) + 1;
      seen.set(words, count);
      return [`${words}/${count}`, element];
    });
  };

  function kept(section) {
    const focus = "a, button, input, select, textarea, summary, [tabindex]";
    const focused = names(section, focus).find(([, element]) => element === document.activeElement)?.[0];
    const folds = new Map(names(section, "details").map(([name, element]) => [name, element.open]));
    const fields = new Map(names(section, "input, select, textarea").map(([name, element]) => [name, [element.value, element.checked]]));
    const scrolled = new Map(names(section, ".scroll").map(([name, element]) => [name, element.scrollLeft]));
    return () => {
      for (const [name, element] of names(section, "details")) if (folds.has(name)) element.open = folds.get(name);
      for (const [name, element] of names(section, "input, select, textarea")) {
        if (!fields.has(name)) continue;
        const [value, checked] = fields.get(name);
        if (element.value === value && element.checked === checked) continue;
        [element.value, element.checked] = [value, checked];
        element.dispatchEvent(new Event(element.localName === "select" ? "change" : "input", { bubbles: true }));
      }
      for (const [name, element] of names(section, ".scroll")) element.scrollLeft = scrolled.get(name) ?? 0;
      if (focused) names(section, focus).find(([name]) => name === focused)?.[1].focus({ preventScroll: true });
    };
  }

  // Figures that are drawn stay as they are, unless the section brings other data for them.
  function keepFigures(section, fresh) {
    for (const empty of fresh.querySelectorAll("[data-figure]")) {
      const name = CSS.escape(empty.dataset.figure);
      const [before, after] = [section, fresh].map((root) => root.querySelector(`#figure-${name}`)?.textContent);
      const drawn = section.querySelector(`[data-figure="${name}"][data-shown]`);
      if (drawn && before === after) empty.replaceWith(drawn);
    }
  }

  function swap(id, html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    fresh.hidden = !fresh.childElementCount;
    const section = document.getElementById(id);
    if (!section) {
      main.append(document.adoptNode(fresh));
      return [fresh, () => {}];
    }
    const restore = kept(section);
    keepFigures(section, fresh);
    section.replaceChildren(...fresh.childNodes);
    section.hidden = fresh.hidden;
    for (const { name, value } of fresh.attributes) section.setAttribute(name, value);
    return [section, restore];
  }

  function inOrder(ids) {
    const wanted = new Set(ids);
    for (const element of [...main.children]) if (element.id && !wanted.has(element.id)) element.remove();
    let place = main.firstElementChild;
    for (const id of ids) {
      const element = document.getElementById(id);
      if (!element) continue;
      if (element !== place) main.insertBefore(element, place);
      else place = place.nextElementSibling;
    }
  }

  function show(answer) {
    cursor = answer.cursor;
    const anchor = [...main.children].find((element) => element.getBoundingClientRect().bottom > 0);
    const before = anchor?.getBoundingClientRect().top;
    const swapped = Object.entries(answer.parts).map(([id, html]) => swap(id, html));
    inOrder(answer.ids);
    for (const [section, restore] of swapped) {
      document.dispatchEvent(new CustomEvent("section-swapped", { detail: { section } }));
      restore();
    }
    if (anchor?.isConnected && window.scrollY > 0) window.scrollBy(0, anchor.getBoundingClientRect().top - before);
    if (answer.curves && Object.keys(answer.curves).length) {
      document.dispatchEvent(new CustomEvent("curves-grew", { detail: answer.curves }));
    }
  }

  function say(text) {
    if (lost.textContent !== text) lost.textContent = text;
    lost.hidden = !text;
  }

  async function ask() {
    if (busy || document.hidden) return;
    busy = true;
    let wait = MOST_WAIT;
    try {
      const join = address.includes("?") ? "&" : "?";
      const answered = await fetch(`${address}${join}cursor=${encodeURIComponent(cursor)}`, { signal: AbortSignal.timeout(20000) });
      if (answered.status === 401 || answered.status === 403) {
        say("The server was started anew. Open the address that it has printed.");
      } else if (!answered.ok) {
        throw new Error(`answered ${answered.status}`);
      } else {
        const answer = await answered.json();
        show(answer);
        failures = 0;
        wait = 1000 * answer.every;
        say("");
      }
    } catch (error) {
      failures += 1;
      wait = Math.min(MOST_WAIT, 1000 * 2 ** Math.min(failures, 4));
      say("The connection to the server is lost; trying again. What is shown may be old.");
      console.warn(String(error));
    } finally {
      busy = false;
      clearTimeout(timer);
      timer = setTimeout(ask, wait);
    }
  }

  const now = () => { clearTimeout(timer); ask(); };
  document.addEventListener("visibilitychange", now);  // a hidden page asks nothing, and catches up when it is seen
  window.addEventListener("online", now);
  window.addEventListener("pageshow", (event) => { if (event.persisted) now(); });
  document.addEventListener("asked", now);
  ask();
})();
