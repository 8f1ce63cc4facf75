// Live view: pause, keys, and no more rows than one can look at.
"use strict";

const MOST_ROWS = 200;
const rows = document.getElementById("live-rows");
const pause = document.getElementById("live-pause");
const paused = () => pause.getAttribute("aria-pressed") === "true";

function togglePause() {
  const now = !paused();
  pause.setAttribute("aria-pressed", String(now));
  pause.querySelector("[data-pause-label]").textContent = now ? "Resume" : "Pause";
  pause.querySelector("i").className = `ti ti-player-${now ? "play" : "pause"}`;
}

pause.addEventListener("click", togglePause);

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.id === "live-poll" && paused()) event.preventDefault();
});

document.addEventListener("htmx:afterSwap", () => {
  while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
});

function move(step) {
  const heads = [...rows.querySelectorAll("summary")];
  const here = heads.indexOf(document.activeElement);
  const next = heads[Math.min(Math.max(here + step, 0), heads.length - 1)];
  if (next) next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea, button, a");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing) return;
  if (event.key === " ") togglePause();
  else if (event.key === "/") document.getElementById("live-text").focus();
  else if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(-1);
  else return;
  event.preventDefault();
});
