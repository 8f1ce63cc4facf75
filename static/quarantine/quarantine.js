// Another line for the steps of a fix: a copy of the last one, empty.
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-add-step]");
  if (!button) return;
  const list = document.getElementById(button.dataset.addStep);
  const step = list.lastElementChild.cloneNode(true);
  for (const field of step.querySelectorAll("input")) field.value = "";
  list.append(step);
  step.querySelector("select").focus();
});
