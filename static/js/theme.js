// Loaded before anything is painted, so that a dark page does not flash white. "auto" follows the system.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("theme") || "auto";

  const apply = () => {
    const choice = chosen();
    const theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.bsTheme = theme;
    document.documentElement.dataset.themeChoice = choice;
    document.documentElement.classList.toggle("dark-mode", theme === "dark"); // what Swagger UI goes by
    document.dispatchEvent(new CustomEvent("theme:changed", { detail: { theme } }));
  };

  document.addEventListener("theme:choose", (event) => {
    localStorage.setItem("theme", event.detail);
    apply();
  });
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  apply();
})();
