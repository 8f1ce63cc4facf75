// Sources in an order: the buttons of `<ol data-ranking>` move their line up or down; the form sends them as they stand.

function move(button) {
  const line = button.closest("li");
  const other = button.dataset.move === "up" ? line.previousElementSibling : line.nextElementSibling;
  if (!other) return;
  if (button.dataset.move === "up") other.before(line);
  else other.after(line);
  button.focus();
  const rule = line.closest("form").querySelector('input[name="rule"][value="priority"]');
  if (rule) rule.checked = true;
}

for (const list of document.querySelectorAll("[data-ranking]")) {
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (button) move(button);
  });
}
