/** The list of segments: the bar with what can be done to many shows while some are ticked. */

const bar = document.getElementById("bulk");
const boxes = [...document.querySelectorAll('input[name="ids"][form="bulk"]')];
const all = document.querySelector("[data-tick-all]");

function show() {
  const ticked = boxes.filter((box) => box.checked).length;
  bar.hidden = ticked === 0;
  bar.querySelector("[data-ticked]").textContent = `${ticked} ticked`;
  all.checked = ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
}

if (bar) {
  for (const box of boxes) box.addEventListener("change", show);
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  addEventListener("pageshow", show);
  show();
}
