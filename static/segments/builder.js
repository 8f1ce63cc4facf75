import { conditionFields, newAccount, newConsent, newEvent, newSegment, newSequence, newTrait } from "./condition.js";
import * as tree from "./definition.js";
import { Dragging } from "./dragging.js";
import { h, icon, select } from "./dom.js";
import { History } from "./history.js";
import { gaps } from "./language.js";
import { Dictionary } from "./suggest.js";

const KINDS = {
  event: "bolt", trait: "user", sequence: "route", account: "building", consent: "shield-check", segment: "chart-pie-2",
};

const MODE_LABELS = [
  ["all", "all of these are true"],
  ["any", "at least one of these is true"],
  ["none", "none of these is true"],
  ["not_all", "not all of these are true"],
];
const DEEPEST = 5;
const JOINTS = { all: "and", any: "or", none: "nor", not_all: "and" };

/**
 * `<segment-builder suggest-url>`: edits one definition as a tree of sentences or as JSON, with undo.
 * Fires `definitionchange` whenever `definition` has another value.
 */
export class SegmentBuilder extends HTMLElement {
  #history;
  #dictionary;
  #error = null;
  #showGaps = false;
  #json = null;
  #toolbar = h("div", { class: "builder-toolbar" });
  #body = h("div", { class: "builder-body" });
  #drawing = false;
  #redrawWanted = false;
  #typed = new Set();
  #pointerDown = false;
  #folded = new Set();

  /** Begin with this definition; forgets what was undone before. */
  start(definition) {
    this.#dictionary = new Dictionary(this.getAttribute("suggest-url"));
    this.#history = new History(tree.fromDefinition(definition));
    this.replaceChildren(this.#toolbar, this.#body);
    this.addEventListener("keydown", (event) => this.#onKey(event));
    new Dragging(this.#body, (uid, group, index) => this.#place(uid, group, index));
    this.addEventListener("input", (event) => event.target.classList.remove("is-invalid"));
    this.addEventListener("focusout", () => this.#drawLater());
    document.addEventListener("keydown", (event) => this.#onUndoKey(event));
    document.addEventListener("pointerdown", () => (this.#pointerDown = true), true);
    for (const end of ["pointerup", "pointercancel"]) {
      document.addEventListener(end, () => {
        this.#pointerDown = false;
        this.#drawLater();
      }, true);
    }
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
    this.#error = error && { ...tree.locate(this.#root, error.path ?? ""), path: error.path, message: error.message };
    this.#open(this.#error ? [this.#error.uid] : []);
    this.#mark();
  }

  /** Mark every field that still needs a value, and go to the first. */
  showGaps() {
    this.#showGaps = true;
    this.#open(tree.conditions(this.#root).filter((node) => gaps(node.json).length).map((node) => node.uid));
    this.#mark();
    this.querySelector(".is-invalid")?.focus();
  }

  /** Draw anew where one of these is folded away. */
  #open(uids) {
    const before = this.#folded.size;
    for (const uid of uids) this.#unfold(uid);
    if (this.#folded.size !== before) this.#draw();
  }

  // --- Changing -----------------------------------------------------------------------------------------------

  #commit(root, { key = null, focus = null, typing = false } = {}) {
    if (root === this.#root) return;
    this.#history.push(root, key);
    this.#changed({ focus, redraw: !typing });
  }

  #changed({ focus = null, redraw = true } = {}) {
    this.#error = null;
    if (redraw) {
      this.#draw(focus);
    } else {
      this.#drawToolbar();
      this.#mark();
    }
    this.dispatchEvent(new CustomEvent("definitionchange", { bubbles: true }));
  }

  /** A field changed the condition `uid`, whose drawn fields read from `draft`. */
  #edit(uid, draft, json, key, focusField) {
    const now = tree.find(this.#root, uid);
    if (!now || this.#drawing) return;
    if (JSON.stringify(now.json) === JSON.stringify(json)) {
      if (!key && this.#typed.has(uid)) this.#wantRedraw();
      return;
    }
    const next = structuredClone(json);
    const root = tree.replace(this.#root, uid, (old) => ({ ...old, json: next }));
    if (key) {
      follow(draft, next);
      this.#typed.add(uid);
    }
    const focus = focusField ? { uid, field: focusField } : null;
    this.#commit(root, { key: key && `${uid}:${key}`, typing: Boolean(key), focus });
  }

  #add(groupUid, node) {
    const target = node.kind === "group" ? node.children[0] : node;
    const field = { sequence: "steps/0/event", account: "trait", consent: "purpose" }[target.json.type] ?? target.json.type;
    this.#commit(tree.append(this.#root, groupUid, node), { focus: { uid: target.uid, field } });
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

  /** Dropped: nothing happens where the groups would be nested too deep. */
  #place(uid, groupUid, index) {
    const tooDeep = tree.depthOf(this.#root, groupUid) + tree.heightOf(tree.find(this.#root, uid)) > DEEPEST;
    if (tooDeep) return;
    this.#folded.delete(groupUid);
    this.#commit(tree.place(this.#root, uid, groupUid, index), { focus: { uid, field: "up" } });
  }

  #fold(uid) {
    if (!this.#folded.delete(uid)) this.#folded.add(uid);
    this.#draw({ uid, field: "fold" });
  }

  /** Open the groups around a node that has something to say. */
  #unfold(uid) {
    for (let group = tree.parentOf(this.#root, uid); group; group = tree.parentOf(this.#root, group.uid)) this.#folded.delete(group.uid);
  }

  #onKey(event) {
    if (event.key === "Enter" && event.target.matches("input")) event.preventDefault(); // else it would save
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
    this.#redrawWanted = false;
    this.#typed.clear();
    this.#drawing = true;
    this.#drawToolbar();
    if (this.#json) this.#drawJson();
    else this.#body.replaceChildren(this.#drawGroup(this.#root, 0));
    this.#drawing = false;
    this.#mark();
    this.#focus(kept);
  }

  /** Draw again as soon as it takes nothing away under the person's hands: no click half done, no open list. */
  #wantRedraw() {
    this.#redrawWanted = true;
    this.#drawLater();
  }

  #drawLater() {
    setTimeout(() => {
      const choosing = this.contains(document.activeElement) && document.activeElement.matches("select");
      if (!this.#redrawWanted || this.#pointerDown || choosing) return;
      if (this.#looksDifferent()) this.#draw();
      else this.#redrawWanted = false;
    });
  }

  /** Whether drawing would show other fields than those that stand there. */
  #looksDifferent() {
    if (this.#json) return true;
    const fields = (element) =>
      [...element.querySelectorAll("[data-field], [data-field] option")]
        .map((field) => [field.tagName, field.dataset.field, field.value, field.disabled].join())
        .join("\n");
    return fields(this.#body) !== fields(this.#drawGroup(this.#root, 0));
  }

  #focused() {
    const element = document.activeElement;
    if (!this.contains(element) || !element.dataset.field) return null;
    const uid = element.closest("[data-uid]")?.dataset.uid;
    return { uid, field: element.dataset.field, quietly: !element.dataset.opening };
  }

  /** Quietly: without unfolding suggestions again that were folded. */
  #focus(place) {
    if (!place?.uid || !place.field) return;
    const field = this.querySelector(`[data-uid="${place.uid}"] [data-field="${place.field}"]`);
    if (!field || field === document.activeElement) return;
    if (place.quietly) field.dataset.quiet = "yes";
    field.focus({ preventScroll: Boolean(place.quietly) });
    delete field.dataset.quiet;
  }

  /** Show the error and the gaps on what is drawn, without drawing it again. */
  #mark() {
    for (const element of this.querySelectorAll(".is-bad, .is-invalid")) element.classList.remove("is-bad", "is-invalid");
    for (const element of this.querySelectorAll("[data-problem]")) element.hidden = true;
    if (this.#json) {
      this.#markJson();
      return;
    }
    if (this.#showGaps) {
      for (const node of tree.conditions(this.#root)) {
        const fields = gaps(node.json);
        if (fields.length) this.#markNode(node.uid, "Fill in what is marked.", fields);
      }
    }
    if (this.#error) this.#markNode(this.#error.uid, this.#error.message, [this.#error.rest.slice(1)]);
  }

  #markNode(uid, message, fields) {
    const element = this.querySelector(`[data-uid="${uid}"]`);
    if (!element) return;
    element.classList.add("is-bad");
    const problem = element.querySelector(`[data-problem="${uid}"]`);
    problem.replaceChildren(icon("alert-circle"), message);
    problem.hidden = false;
    for (const field of fields) fieldAt(element, field)?.classList.add("is-invalid");
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
    const folded = depth > 0 && this.#folded.has(node.uid);
    const count = tree.conditions(node).length;
    const summary = h("button", { type: "button", class: "btn btn-sm btn-ghost-secondary group-summary", onclick: () => this.#fold(node.uid) }, `${count} ${count === 1 ? "condition" : "conditions"}`);
    const head = h("div", { class: "group-head" },
      depth ? [grip(), this.#folder(node, folded)] : null, mode, folded ? summary : null, depth ? this.#tools(node, "group") : null);
    const label = `Group: ${MODE_LABELS.find(([name]) => name === node.mode)[1]}`;
    if (folded) return h("div", { class: `group mode-${node.mode} is-folded`, "data-uid": node.uid, role: "group", "aria-label": label }, head, problemOf(node));
    const items = node.children.flatMap((child, index) => [
      index ? h("li", { class: "joint", "aria-hidden": "true" }, JOINTS[node.mode]) : null,
      h("li", {}, child.kind === "group" ? this.#drawGroup(child, depth + 1) : this.#drawCondition(child)),
    ]);
    const empty = node.children.length ? null : h("p", { class: "group-empty" }, depth ? "An empty group. Add a condition to it, or remove it." : "Add a condition: something people did, or something known about them.");
    return h("div", { class: `group mode-${node.mode}`, "data-uid": node.uid, role: "group", "aria-label": label },
      head,
      problemOf(node),
      node.children.length ? h("ul", { class: "group-items" }, items) : empty,
      this.#adders(node, depth));
  }

  #folder(node, folded) {
    const label = folded ? "Unfold this group" : "Fold this group";
    return h("button", { type: "button", class: "btn btn-icon btn-sm btn-ghost-secondary", "aria-expanded": String(!folded), "aria-label": label, title: label, "data-field": "fold", onclick: () => this.#fold(node.uid) },
      icon(folded ? "caret-right" : "caret-down"));
  }

  #adders(node, depth) {
    const button = (name, label, make) =>
      h("button", { type: "button", class: "btn btn-sm", onclick: () => this.#add(node.uid, make()) }, icon(name), label);
    return h("div", { class: "adders" },
      button("bolt", "Something they did", () => tree.condition(newEvent())),
      button("user", "Something about them", () => tree.condition(newTrait())),
      button("route", "Things in order", () => tree.condition(newSequence())),
      button("building", "Their account", () => tree.condition(newAccount())),
      button("shield-check", "Their consent", () => tree.condition(newConsent())),
      button("chart-pie-2", "A segment", () => tree.condition(newSegment())),
      depth < DEEPEST - 1 ? button("folder-plus", "Group", () => tree.group(node.mode === "any" ? "all" : "any", [tree.condition(newEvent())])) : null);
  }

  #drawCondition(node) {
    const draft = structuredClone(node.json);
    const context = {
      dictionary: this.#dictionary,
      typeOf: (question, name) => this.#typeOf(question, name),
      edit: (json, key, focus) => this.#edit(node.uid, draft, json, key, focus),
    };
    const kind = KINDS[draft?.type] ?? "code";
    return h("div", { class: `condition kind-${kind}`, "data-uid": node.uid },
      h("span", { class: "condition-lead" }, grip(), h("span", { class: "condition-icon" }, icon(kind))),
      h("div", { class: "condition-body" }, conditionFields(draft, context), problemOf(node)),
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

  /** The known type; where it has to be asked for, the builder is drawn again once it is there. */
  #typeOf(question, name) {
    if (!name || (question.event && !question.event.some(Boolean))) return undefined;
    const known = this.#dictionary.known(question);
    if (!known) {
      this.#dictionary.ask(question).then((entries) => {
        if (!entries.some((entry) => entry.value === name)) return;
        this.#redrawWanted = true;
        if (!this.querySelector("input:focus")) this.#drawLater();
      });
    }
    return known?.find((entry) => entry.value === name)?.type;
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
    const { text } = this.#json;
    const old = this.#body.querySelector("textarea.json");
    if (old?.value === text) return;
    const area = h("textarea", {
      class: "form-control json", spellcheck: "false", "aria-label": "Definition as JSON", value: text,
      rows: Math.min(28, Math.max(12, text.split("\n").length + 1)),
      oninput: () => this.#onJson(area),
    });
    this.#body.replaceChildren(area, h("p", { class: "problem", role: "alert", hidden: true, "data-problem": "json" }));
  }

  #onJson(area) {
    this.#json.text = area.value;
    try {
      const root = tree.fromDefinition(JSON.parse(area.value));
      this.#json.problem = null;
      this.#history.push(root, "json");
    } catch (error) {
      this.#json.problem = `This is not JSON yet: ${error.message}`;
    }
    this.#changed({ redraw: false });
  }

  #markJson() {
    const { path, message } = this.#error ?? {};
    const text = this.#json.problem ?? (message && (path ? `At ${path}: ${message}` : message));
    const problem = this.#body.querySelector("[data-problem]");
    this.#body.querySelector("textarea").classList.toggle("is-invalid", Boolean(text));
    problem.textContent = text ?? "";
    problem.hidden = !text;
  }
}

/** Make `draft` equal to `next` in place, so that handlers that hold parts of it go on seeing the truth. */
function follow(draft, next) {
  for (const name of Object.keys(draft)) if (!(name in next)) delete draft[name];
  for (const [name, value] of Object.entries(next)) {
    const isContainer = value !== null && typeof value === "object";
    const fits = isContainer && draft[name] !== null && typeof draft[name] === "object" && Array.isArray(value) === Array.isArray(draft[name]);
    if (fits) follow(draft[name], value);
    else draft[name] = isContainer ? structuredClone(value) : value;
  }
  if (Array.isArray(draft)) draft.length = next.length;
}

/** What a mouse takes hold of; the buttons and Alt with the arrow keys do the same. */
const grip = () => h("span", { class: "grip", draggable: "true", title: "Drag to move", "aria-hidden": "true", "data-grip": true }, icon("grip-vertical"));

const problemOf = (node) => h("p", { class: "problem", role: "alert", hidden: true, "data-problem": node.uid });

/** The field that a path inside a condition means, or the nearest around it: "window/last/unit", "window/last", "window". */
function fieldAt(element, path) {
  for (let rest = path; rest; rest = rest.slice(0, Math.max(0, rest.lastIndexOf("/")))) {
    const field = [...element.querySelectorAll("[data-field]")].find((one) => one.dataset.field === rest);
    if (field) return field;
  }
  return null;
}

customElements.define("segment-builder", SegmentBuilder);
