// The buttons that copy a command.
"use strict";
(() => {
  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a browser without the clipboard for this page: the command is selected, ready for Ctrl+C
      getSelection().selectAllChildren(button.previousElementSibling);
      return "Selected";
    }
    return "Copied";
  }

  view.each("button.copy", (button) => {
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      button.textContent = await copy(button);
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  });
})();
