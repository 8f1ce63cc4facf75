import "./builder.js";
import { readJson } from "./dom.js";
import { Preview } from "./preview.js";

const form = document.getElementById("segment-form");
const builder = form.querySelector("segment-builder");
const gallery = document.getElementById("gallery");
const preview = new Preview(document.getElementById("preview"), { onanswer: (error) => answer(error) });
const field = (name) => form.elements.namedItem(name);

const given = readJson("definition");
const templates = readJson("templates") ?? [];
let refused = readJson("problem");
let leaving = false;

const state = () => JSON.stringify([field("name").value, field("description").value, builder.definition]);

function hint() {
  if (builder.jsonProblem) return "Mend the JSON to see the count.";
  if (builder.isEmpty) return "Add a condition, or choose a template, to see how many people match.";
  return builder.isComplete ? null : "Fill in the conditions to see how many people match.";
}

function refresh() {
  refused = null;
  if (gallery) gallery.hidden = !builder.isEmpty && !gallery.dataset.open;
  preview.update(builder.definition, hint());
}

function answer(error) {
  refused = error;
  builder.showError(error);
}

function useTemplate(template) {
  const untouched = !field("name").value || templates.some((other) => other.name === field("name").value);
  if (untouched) {
    field("name").value = template.name;
    field("description").value = template.text;
  }
  delete gallery.dataset.open;
  builder.load(template.definition);
}

builder.start(given);
const saved = form.dataset.changed ? "" : state();
if (refused) builder.showError(refused);

builder.addEventListener("definitionchange", refresh);
const wanted = templates.find((template) => template.slug === gallery?.dataset.chosen);
if (wanted) useTemplate(wanted);
else refresh();

gallery?.addEventListener("click", (event) => {
  const card = event.target.closest("[data-template]");
  const template = card && templates.find((other) => other.slug === card.dataset.template);
  if (!template) return;
  useTemplate(template);
  builder.querySelector("[data-field]").focus({ preventScroll: true });
});

document.addEventListener("click", (event) => {
  if (!gallery || !event.target.closest("[data-open-gallery]")) return;
  gallery.dataset.open = "yes";
  gallery.hidden = false;
  gallery.scrollIntoView({ block: "start" });
  gallery.querySelector("button").focus({ preventScroll: true });
});

form.addEventListener("submit", (event) => {
  field("definition").value = JSON.stringify(builder.definition);
  const named = field("name").value.trim() !== "";
  document.getElementById("name-error").hidden = named;
  field("name").classList.toggle("is-invalid", !named);
  const draft = event.submitter?.value === "draft";
  if (named && (draft || (builder.isComplete && !refused))) {
    leaving = true;
    return;
  }
  event.preventDefault();
  event.stopPropagation();
  if (!draft && refused) builder.querySelector(".is-bad, .is-invalid")?.scrollIntoView({ block: "center" });
  else if (!draft && !builder.isComplete) builder.showGaps();
  else field("name").focus();
});

addEventListener("beforeunload", (event) => {
  if (!leaving && state() !== saved) event.preventDefault();
});
addEventListener("pageshow", () => {
  leaving = false;
});
