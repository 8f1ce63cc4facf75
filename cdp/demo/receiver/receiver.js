// Shows new messages as they arrive; what the reader has opened stays open.
const REFRESH_MS = 1500;
const list = document.getElementById("messages");
let shown = list.innerHTML;

async function refresh() {
  try {
    const answer = await fetch("/messages", { cache: "no-store" });
    if (answer.ok) show(await answer.text());
  } catch {
    // The receiver is restarting: ask again.
  }
  setTimeout(refresh, REFRESH_MS);
}

function show(html) {
  if (html === shown) return;
  shown = html;
  const open = new Set([...list.querySelectorAll("details[open]")].map((message) => message.id));
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("[id]").id : "";
  list.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const again = focused && document.getElementById(focused);
  if (again) (again.querySelector("summary") ?? again).focus({ preventScroll: true });
}

setTimeout(refresh, REFRESH_MS);
