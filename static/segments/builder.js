import { conditionFields, newEvent, newTrait } from "./condition.js";
import * as tree from "./definition.js";
import { h, icon, select } from "./dom.js";
import { History } from "./history.js";
import { gaps } from "./language.js";
import { Dictionary } from "./suggest.js";

const MODE_LABELS = [
  ["all", "all of these are true"],
  ["any", "at least one of these is true"],
  ["none", "none of these is true"],
  ["not_all", "not all of these are true"],
];
const JOINTS = { all: "and", any: "or", none: "nor", not_all: "and" };

/**
 * `<segment-builder suggest-url>`: edits one definition as a tree of sentences or as JSON, with undo.
 * Fires `definitionchange` whenever `definition` has another value.
 */
export class SegmentBuilder extends HTMLElement {
  #history;
  #dictionary;
  #types = new Map();
  #error = null;
  #showGaps = false;
  #json = null;

  /** Begin with this definition; forgets what was undone before. */
  start(definition) {
    this.#dictionary = new Dictionary(this.getAttribute("suggest-url"));
    this.#history = new History(tree.fromDefinition(definition));
    this.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("keydown", (event) => this.#onUndoKey(event));
    this.#draw();
  }

  get #root() {
    return this.#history.state;
  }

  get definition() {
    return tree.toDefinition(this.#root);
  }

  get isEmpty() {
    return tree.conditions(this.#root).length === 0;
  }

  /** Whether every field has its value, so that asking the server makes sense. */
  get isComplete() {
    return !this.isEmpty && this.jsonProblem === null && tree.conditions(this.#root).every((node) => gaps(node.json).length === 0);
  }

  /** What is wrong with the text in the JSON view, or null. */
  get jsonProblem() {
    return this.#json?.problem ?? null;
  }

  /** Put another definition in place, as one step that can be undone. */
  load(definition) {
    this.#json = null;
    this.#commit(tree.fromDefinition(definition));
  }

  /** Show the server's answer about this definition: {message, path} at its node, or null where all is well. */
  showError(error) {
    this.#error = error && { ...tree.locate(this.#root, error.path ?? ""), message: error.message };
    this.#draw();
  }

  /** Mark every field that still needs a value, and go to the first. */
  showGaps() {
    this.#showGaps = true;
    this.#draw();
    this.querySelector(".is-invalid")?.focus();
  }

  // --- Changing -----------------------------------------------------------------------------------------------

  #commit(root, { key = null, focus = null, typing = false } = {}) {
    if (root === this.#root) return;
    this.#history.push(root, key);
    this.#changed({ focus, redraw: !typing });
  }

  #changed({ focus = null, redraw = true } = {}) {
    this.#error = null;
    if (redraw) this.#draw(focus);
    else this.#drawToolbar();
    this.dispatchEvent(new CustomEvent("definitionchange", { bubbles: true }));
  }

  #edit(node, json, key, focusField) {
    const now = tree.find(this.#root, node.uid);
    if (!now || JSON.stringify(now.json) === JSON.stringify(json)) {
      if (!key) this.#draw();
      return;
    }
    const root = tree.replace(this.#root, node.uid, (old) => ({ ...old, json }));
    node.json = json;
    const focus = focusField ? { uid: node.uid, field: focusField } : null;
    this.#commit(root, { key: key && `${node.uid}:${key}`, typing: Boolean(key), focus });
  }

  #add(groupUid, node) {
    const field = node.kind === "group" ? null : node.json.type;
    const target = node.kind === "group" ? node.children[0] : node;
    this.#commit(tree.append(this.#root, groupUid, node), {
      focus: { uid: target.uid, field: field ?? target.json.type },
    });
  }

  undo() {
    if (this.#history.undo()) this.#travelled();
  }

  redo() {
    if (this.#history.redo()) this.#travelled();
  }

  #travelled() {
    if (this.#json) this.#json = { text: this.#pretty(), problem: null };
    this.#changed();
  }

  #move(uid, step, field) {
    this.#commit(tree.move(this.#root, uid, step), { focus: { uid, field } });
  }

  #onKey(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const place = event.target.closest("[data-uid]");
    if (!event.altKey || !step || !place) return;
    event.preventDefault();
    this.#move(place.dataset.uid, step, event.target.dataset.field);
  }

  #onUndoKey(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const elsewhere = !this.contains(event.target) && event.target.closest("input, textarea, select");
    if (elsewhere || event.target.matches("textarea")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.redo();
    else this.undo();
  }

  // --- Drawing ------------------------------------------------------------------------------------------------

  #draw(focus = null) {
    const kept = focus ?? this.#focused();
    this.#toolbar ??= h("div", { class: "builder-toolbar" });
    this.#body ??= h("div", { class: "builder-body" });
    if (!this.#toolbar.isConnected) this.replaceChildren(this.#toolbar, this.#body);
    this.#drawToolbar();
    if (this.#json) this.#drawJson();
    else this.#body.replaceChildren(this.#drawGroup(this.#root, 0));
    this.#focus(kept);
  }
  #toolbar;
  #body;

  #focused() {
    const element = document.activeElement;
    if (!this.contains(element) || !element.dataset.field) return null;
    return { uid: element.closest("[data-uid]")?.dataset.uid, field: element.dataset.field };
  }

  #focus(place) {
    if (!place?.uid || !place.field) return;
    const field = this.querySelector(`[data-uid="${place.uid}"] [data-field="${place.field}"]`);
    if (field && field !== document.activeElement) field.focus({ preventScroll: false });
  }

  #drawToolbar() {
    const inJson = this.#json !== null;
    const tab = (label, name, on, onclick) =>
      h("button", { type: "button", class: `btn btn-sm${on ? " active" : ""}`, "aria-pressed": String(on), onclick }, icon(name), label);
    const step = (name, label, able, onclick) =>
      h("button", { type: "button", class: "btn btn-icon btn-sm btn-ghost-secondary", disabled: !able, "aria-label": label, title: label, onclick }, icon(name));
    this.#toolbar.replaceChildren(
      h("div", { class: "btn-group", role: "group", "aria-label": "View" },
        tab("Builder", "list-tree", !inJson, () => this.#leaveJson()),
        tab("JSON", "code", inJson, () => this.#enterJson())),
      h("span", { class: "builder-steps" },
        step("arrow-back-up", "Undo (Ctrl+Z)", this.#history.canUndo, () => this.undo()),
        step("arrow-forward-up", "Redo (Ctrl+Shift+Z)", this.#history.canRedo, () => this.redo())),
    );
  }

  #drawGroup(node, depth) {
    const mode = select(MODE_LABELS, node.mode, {
      "aria-label": "How these combine", "data-field": "mode", class: "form-select group-mode",
      onchange: (event) => {
        const { value } = event.target;
        this.#commit(tree.replace(this.#root, node.uid, (old) => ({ ...old, mode: value, bare: false })));
      },
    });
    const head = h("div", { class: "group-head" }, mode, depth ? this.#tools(node, "group") : null);
    const items = node.children.flatMap((child, index) => [
      index ? h("li", { class: "joint", "aria-hidden": "true" }, JOINTS[node.mode]) : null,
      h("li", {}, child.kind === "group" ? this.#drawGroup(child, depth + 1) : this.#drawCondition(child)),
    ]);
    const empty = node.children.length ? null : h("p", { class: "group-empty" }, depth ? "An empty group. Add a condition to it, or remove it." : "Add a condition: something people did, or something known about them.");
    return h("div", { class: `group mode-${node.mode}${this.#isBad(node) ? " is-bad" : ""}`, "data-uid": node.uid, role: "group", "aria-label": `Group: ${MODE_LABELS.find(([name]) => name === node.mode)[1]}` },
      head,
      this.#problem(node),
      node.children.length ? h("ul", { class: "group-items" }, items) : empty,
      this.#adders(node, depth));
  }

  #adders(node, depth) {
    const button = (name, label, make) =>
      h("button", { type: "button", class: "btn btn-sm", onclick: () => this.#add(node.uid, make()) }, icon(name), label);
    return h("div", { class: "adders" },
      button("bolt", "Something they did", () => tree.condition(newEvent())),
      button("user", "Something about them", () => tree.condition(newTrait())),
      depth < 4 ? button("folder-plus", "Group", () => tree.group(node.mode === "any" ? "all" : "any", [tree.condition(newEvent())])) : null);
  }

  #drawCondition(node) {
    const missing = this.#showGaps ? gaps(node.json) : [];
    const rest = this.#error?.uid === node.uid ? this.#error.rest.slice(1) : null;
    const atFault = (field) => missing.includes(field) || (rest && (rest === field || rest.startsWith(`${field}/`)));
    const context = {
      dictionary: this.#dictionary,
      calendars: this.hasAttribute("calendars"),
      typeOf: (question, name) => this.#typeOf(question, name),
      bad: atFault,
      edit: (json, key, focus) => this.#edit(node, json, key, focus),
    };
    const kind = { event: "bolt", trait: "user" }[node.json?.type] ?? "code";
    return h("div", { class: `condition kind-${kind}${this.#isBad(node) || missing.length ? " is-bad" : ""}`, "data-uid": node.uid },
      h("span", { class: "condition-icon" }, icon(kind)),
      h("div", { class: "condition-body" }, conditionFields(node.json, context), this.#problem(node), missing.length ? h("p", { class: "problem", role: "alert" }, "Fill in what is marked.") : null),
      this.#tools(node, "condition"));
  }

  #tools(node, what) {
    const tool = (name, label, field, onclick, disabled = false) =>
      h("button", { type: "button", class: "btn btn-icon btn-sm btn-ghost-secondary", "aria-label": `${label} this ${what}`, title: `${label} this ${what}`, "data-field": field, disabled, onclick }, icon(name));
    const can = (step) => tree.canMove(this.#root, node.uid, step);
    return h("div", { class: "tools" },
      tool("chevron-up", "Move up", "up", () => this.#move(node.uid, -1, "up"), !can(-1)),
      tool("chevron-down", "Move down", "down", () => this.#move(node.uid, 1, "down"), !can(1)),
      tool("copy", "Duplicate", "duplicate", () => {
        const [root, twin] = tree.duplicate(this.#root, node.uid);
        this.#commit(root, { focus: { uid: twin, field: "duplicate" } });
      }),
      tool("trash", "Remove", "remove", () => this.#commit(tree.remove(this.#root, node.uid))));
  }

  #isBad(node) {
    return this.#error?.uid === node.uid;
  }

  #problem(node) {
    return this.#isBad(node) ? h("p", { class: "problem", role: "alert" }, icon("alert-circle"), this.#error.message) : null;
  }

  /** The known type; where it is still being asked for, the builder is drawn again once it is there. */
  #typeOf(question, name) {
    if (!name || (question.event && !question.event.some(Boolean))) return undefined;
    const key = JSON.stringify([question, name]);
    if (!this.#types.has(key)) {
      this.#types.set(key, undefined);
      this.#dictionary.typeOf(question, name).then((type) => {
        if (!type) return;
        this.#types.set(key, type);
        if (!this.#json && !this.#isTyping()) this.#draw();
      });
    }
    return this.#types.get(key);
  }

  #isTyping() {
    return this.contains(document.activeElement) && document.activeElement.matches("input");
  }

  // --- JSON ---------------------------------------------------------------------------------------------------

  #pretty() {
    return JSON.stringify(this.definition, null, 2);
  }

  #enterJson() {
    if (this.#json) return;
    this.#json = { text: this.#pretty(), problem: null };
    this.#draw();
  }

  #leaveJson() {
    if (this.#json?.problem) {
      this.#body.querySelector("textarea").focus();
      return;
    }
    this.#json = null;
    this.#draw();
  }

  #drawJson() {
    const { text, problem } = this.#json;
    const note = h("p", { class: "problem", role: "alert", hidden: !(problem ?? this.#error) }, problem ?? this.#errorText());
    const area = h("textarea", {
      class: `form-control json${problem ? " is-invalid" : ""}`, spellcheck: "false", "aria-label": "Definition as JSON",
      rows: Math.min(28, Math.max(12, text.split("\n").length + 1)), value: text,
      oninput: () => this.#onJson(area, note),
    });
    const old = this.#body.querySelector("textarea.json");
    if (old && old.value === text) {
      old.classList.toggle("is-invalid", Boolean(problem));
      this.#body.querySelector(".problem").replaceWith(note);
      return;
    }
    this.#body.replaceChildren(area, note);
  }

  #errorText() {
    if (!this.#error) return "";
    return this.#error.message;
  }

  #onJson(area, note) {
    this.#json.text = area.value;
    try {
      const definition = JSON.parse(area.value);
      this.#json.problem = null;
      this.#history.push(tree.fromDefinition(definition), "json");
    } catch (error) {
      this.#json.problem = `This is not JSON yet: ${error.message}`;
    }
    area.classList.toggle("is-invalid", this.#json.problem !== null);
    note.textContent = this.#json.problem ?? "";
    note.hidden = this.#json.problem === null;
    this.#changed({ redraw: false });
  }
}

customElements.define("segment-builder", SegmentBuilder);
