// The editor of a computed trait: shows the fields that its kind has, suggests names, and makes one from the label.

const form = document.getElementById("computed-form");
const WITHOUT_PROPERTY = new Set(["count", "days", "first_at", "last_at"]);

function show() {
  const kind = form.elements.kind.value;
  for (const part of form.querySelectorAll("[data-kinds]")) {
    part.hidden = !part.dataset.kinds.split(" ").includes(kind);
  }
  if (kind === "measure" && WITHOUT_PROPERTY.has(form.elements.measure.value)) {
    form.querySelector("[data-needs-property]").hidden = true;
  }
}

function nameFrom(label) {
  return label
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^[^a-z]+|_+$/g, "")
    .slice(0, 60);
}

form.elements.event.setAttribute("list", "event-names");
form.elements.trait.setAttribute("list", "trait-names");
form.addEventListener("change", show);
let named = form.elements.name.value !== "";
form.elements.name.addEventListener("input", () => {
  named = true;
});
form.elements.label.addEventListener("input", () => {
  if (!named && !form.elements.name.disabled) form.elements.name.value = nameFrom(form.elements.label.value);
});
show();
