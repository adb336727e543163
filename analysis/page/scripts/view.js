// The state of the view, kept in the address after "#": `view.get(key)`, `view.set(key, value)`, and the event
// "view-changed" with the keys that changed. A copied address opens the same view. A plain "#place" is "at=place".
"use strict";
(() => {
  const read = () => {
    const text = location.hash.slice(1);
    return new URLSearchParams(text.includes("=") || !text ? text : `at=${text}`);
  };
  let state = read();

  const announce = (keys) => document.dispatchEvent(new CustomEvent("view-changed", { detail: { keys } }));

  function set(key, value, leaveBehind = false) {
    const text = value === null || value === undefined ? "" : String(value);
    if (text === (state.get(key) ?? "")) return;
    if (text) state.set(key, text);
    else state.delete(key);
    const address = `${location.href.split("#")[0]}${state.size ? `#${state}` : ""}`;
    history[leaveBehind ? "pushState" : "replaceState"](null, "", address);
    announce([key]);
  }

  function reread() {
    const before = state;
    state = read();
    const keys = [...new Set([...before.keys(), ...state.keys()])].filter((key) => before.get(key) !== state.get(key));
    if (keys.length) announce(keys);
    if (keys.includes("at")) go(state.get("at"));
  }

  // Opens what a place is folded in, scrolls to it and moves the focus there.
  function go(id) {
    const place = id && document.getElementById(id);
    if (!place) return;
    for (let part = place; part; part = part.parentElement) if (part.localName === "details") part.open = true;
    for (const other of document.querySelectorAll(".here")) other.classList.remove("here");
    if (id.startsWith("term-")) place.classList.add("here");
    if (!place.hasAttribute("tabindex")) place.tabIndex = -1;
    place.focus({ preventScroll: true });
    place.scrollIntoView();
  }

  // Makes something of each element of a kind: of those here, and of those that a live page swaps in.
  function each(selector, make) {
    const within = (root) => { for (const element of root.querySelectorAll(selector)) make(element); };
    within(document);
    document.addEventListener("section-swapped", ({ detail: { section } }) => within(section));
  }

  // Tells of changes of the view for as long as an element is on the page.
  function follow(element, hear) {
    const listener = ({ detail: { keys } }) => {
      if (element.isConnected) hear(keys);
      else document.removeEventListener("view-changed", listener);
    };
    document.addEventListener("view-changed", listener);
  }

  document.addEventListener("section-swapped", () => announce([]));  // what followed the view in the old section ends
  window.view = Object.freeze({ get: (key) => state.get(key), set, each, follow });
  window.addEventListener("popstate", reread);
  window.addEventListener("hashchange", reread);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const id = link.getAttribute("href").slice(1);
    set("at", id, true);
    go(id);
  });
  document.addEventListener("DOMContentLoaded", () => go(state.get("at")));
})();
