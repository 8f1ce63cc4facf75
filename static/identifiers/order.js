// The order of kinds by dragging: a line that is dropped elsewhere sends the whole order. The arrows do the same by key.

let dragged = null;

function lineOf(target) {
  return target instanceof Element ? target.closest("[data-order] > li") : null;
}

document.addEventListener("dragstart", (event) => {
  dragged = lineOf(event.target);
  if (dragged) dragged.classList.add("is-dragged");
});

document.addEventListener("dragover", (event) => {
  const line = lineOf(event.target);
  if (!dragged || !line || line.parentElement !== dragged.parentElement) return;
  event.preventDefault();
  const box = line.getBoundingClientRect();
  if (event.clientY > box.top + box.height / 2) line.after(dragged);
  else line.before(dragged);
});

document.addEventListener("dragend", () => {
  if (!dragged) return;
  dragged.classList.remove("is-dragged");
  const list = dragged.parentElement;
  dragged = null;
  const name = [...list.children].map((line) => line.dataset.name);
  window.htmx.ajax("POST", list.dataset.order, { target: "#kinds", swap: "outerHTML", values: { name } });
});
