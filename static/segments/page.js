// The page of a segment: the feed of who moved stands still while it is paused, and an export shows how far it is.

const pause = document.getElementById("feed-pause");

document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  const polled = !requestConfig.triggeringEvent;
  if (elt.id === "feed" && polled && pause.checked) event.preventDefault();
});

pause.addEventListener("change", () => {
  document.getElementById("feed").classList.toggle("is-paused", pause.checked);
});

document.addEventListener("submit", (event) => {
  if (event.target.id !== "export-form") return;
  setTimeout(() => document.getElementById("export-progress")?.dispatchEvent(new CustomEvent("taken")), 500);
});
