// The editor of a tracking plan: events on the left, their properties on the right, and the same as JSON.
import { csrfToken, h, icon, readJson, select } from "../segments/dom.js";
import { propertyList } from "./property.js";
import { isObject, placeOf, pointer, rename, steps } from "./schema.js";

const root = document.getElementById("plan-editor");

class Editor {
  constructor() {
    this.document = readJson("plan-document");
    this.options = readJson("plan-options");
    this.readonly = root.hasAttribute("data-readonly");
    this.opened = new Set();
    this.selected = Object.keys(this.document.events ?? {}).map((name) => pointer("events", name))[0] ?? "/traits";
    this.view = "form";
    this.filter = "";
    this.problem = null;
    this.saved = this.text();
    this.draw();
  }

  text() {
    return JSON.stringify(this.document);
  }

  get dirty() {
    return this.text() !== this.saved || this.jsonEdited;
  }

  changed() {
    this.problem = null;
    this.state.textContent = this.dirty ? "Not saved yet" : "Saved";
    this.saveButton.disabled = !this.dirty;
    this.alert.hidden = true;
  }

  say(message, level = "error") {
    document.dispatchEvent(new CustomEvent("toast", { detail: { message, level } }));
  }

  /* --- Drawing ------------------------------------------------------------------------------------------------ */

  draw() {
    this.alert = h("div", { class: "alert alert-danger", role: "alert", hidden: true });
    this.state = h("span", { class: "text-secondary", "aria-live": "polite" });
    this.body = h("div", {});
    this.saveButton = h("button", { type: "button", class: "btn btn-primary", onclick: () => this.save() },
      icon("device-floppy"), "Save draft");
    const go = (label, mark, url) =>
      h("button", { type: "button", class: "btn", onclick: () => this.saveAndGo(url) }, icon(mark), label);
    root.replaceChildren(
      h("div", { class: "plan-head" },
        h("div", { class: "btn-group", role: "group", "aria-label": "How to edit" }, this.viewButtons()),
        this.readonly ? null : h("div", { class: "plan-buttons" }, this.state, go("Try it", "flask", root.dataset.try),
          this.saveButton, go("Publish…", "rocket", root.dataset.publish))),
      this.alert,
      this.body,
    );
    this.redraw(null, { unchanged: true });
  }

  viewButtons() {
    const button = (name, label, mark) =>
      h("button", {
        type: "button", class: "btn btn-sm", "aria-pressed": String(this.view === name), "data-view": name,
        onclick: () => this.show(name),
      }, icon(mark), label);
    return [button("form", "Form", "forms"), button("json", "JSON", "braces")];
  }

  /** Draw the body anew; the focus goes to the row at `path`. */
  redraw(path = null, { unchanged = false, focus = "[data-name], select" } = {}) {
    const scroll = scrollY;
    if (this.view === "json") this.drawJson();
    else this.body.replaceChildren(h("div", { class: "plan-grid" }, this.sidebar(), this.part()), this.planActions());
    scrollTo({ top: scroll, behavior: "instant" });
    if (unchanged) this.state.textContent = this.dirty ? "Not saved yet" : "";
    else this.changed();
    this.saveButton.disabled = !this.dirty;
    if (path) this.row(path)?.querySelector(focus)?.focus();
  }

  row(path) {
    return [...this.body.querySelectorAll("[data-path]")].find((element) => element.dataset.path === path);
  }

  sidebar() {
    const list = h("ul", { class: "plan-events" });
    const fill = () => {
      const wanted = this.filter.toLowerCase();
      const names = Object.keys(this.document.events ?? {}).filter((name) => name.toLowerCase().includes(wanted));
      list.replaceChildren(
        ...names.map((name) => this.entry(pointer("events", name), name, this.document.events[name])),
        ...(names.length ? [] : [h("li", { class: "text-secondary plan-none" }, wanted ? "No event is called so." : "No events yet.")]),
        this.entry("/traits", "Traits of people", this.document.traits),
        this.entry("/group_traits", "Traits of groups", this.document.group_traits),
      );
    };
    fill();
    const many = Object.keys(this.document.events ?? {}).length > 12;
    return h("section", { class: "card plan-side", "aria-label": "Events" },
      many ? h("input", {
        class: "form-control form-control-sm", type: "search", placeholder: "Find an event", value: this.filter,
        "aria-label": "Find an event", oninput: (event) => {
          this.filter = event.target.value;
          fill();
        },
      }) : null,
      list,
      this.readonly ? null : this.newEvent());
  }

  entry(path, label, part) {
    const number = Object.keys(part?.schema?.properties ?? {}).length;
    return h("li", {},
      h("button", {
        type: "button", class: "plan-event", "aria-pressed": String(path === this.selected), "data-event": label,
        onclick: () => {
          this.selected = path;
          this.redraw(null, { unchanged: true });
        },
      }, h("span", {}, label), h("span", { class: "plan-number" }, part ? String(number) : "–")));
  }

  newEvent() {
    const names = this.options.seen.filter((name) => !(name in (this.document.events ?? {})));
    const field = h("input", {
      class: "form-control form-control-sm", placeholder: "Name of an event", "aria-label": "Name of a new event",
      list: "plan-seen", maxlength: "200",
    });
    return h("form", {
      class: "plan-new", onsubmit: (event) => {
        event.preventDefault();
        this.addEvent(field.value.trim());
      },
    }, field, h("datalist", { id: "plan-seen" }, names.map((name) => h("option", { value: name }))),
    h("button", { type: "submit", class: "btn btn-sm" }, icon("plus"), "Add"));
  }

  addEvent(name) {
    if (!name) return;
    this.document.events ??= {};
    this.document.events[name] ??= { schema: { type: "object", properties: {}, additionalProperties: false } };
    this.selected = pointer("events", name);
    this.filter = "";
    this.redraw();
    this.body.querySelector(".props-foot .btn")?.focus();
  }

  part() {
    const path = this.selected;
    const [group, name] = steps(path);
    const found = group === "events" ? this.document.events?.[name] : this.document[group];
    if (!found) return group === "events" ? this.nothing() : this.startTraits(group);
    if (!isObject(found.schema)) found.schema = {};
    return h("section", { class: "card plan-part", "aria-label": name ?? "Traits" },
      h("div", { class: "card-header" }, group === "events" ? this.eventName(name) : h("h2", { class: "card-title" }, group === "traits" ? "Traits of people" : "Traits of groups"),
        this.readonly ? null : h("button", {
          type: "button", class: "btn btn-sm", onclick: () => this.remove(group, name),
        }, icon("trash"), group === "events" ? "Remove event" : "Remove")),
      h("div", { class: "card-body" },
        h("input", {
          class: "form-control form-control-sm plan-description", value: found.description ?? "", disabled: this.readonly,
          placeholder: "What it means, and when it is sent", "aria-label": "Description",
          onchange: (event) => {
            if (event.target.value) found.description = event.target.value;
            else delete found.description;
            this.changed();
          },
        }),
        propertyList(found.schema, `${path}/schema`, this),
        this.overrides(found)));
  }

  nothing() {
    return h("section", { class: "card plan-part" },
      h("div", { class: "blank" },
        h("p", { class: "blank-title" }, "Add the first event"),
        h("p", { class: "blank-text" }, "Type its name on the left, exactly as it is sent.")));
  }

  startTraits(group) {
    return h("section", { class: "card plan-part" },
      h("div", { class: "blank" },
        h("p", { class: "blank-title" }, group === "traits" ? "Traits of people are not checked" : "Traits of groups are not checked"),
        h("p", { class: "blank-text" }, `Say what ${group === "traits" ? "identify" : "group"} messages may hold.`),
        this.readonly ? null : h("button", {
          type: "button", class: "btn", onclick: () => {
            this.document[group] = { schema: { type: "object", properties: {} } };
            this.redraw();
          },
        }, "Check them")));
  }

  eventName(name) {
    return h("input", {
      class: "form-control plan-name", value: name, "aria-label": "Name of the event", disabled: this.readonly,
      maxlength: "200", onchange: (event) => {
        const next = event.target.value.trim();
        if (next === name) return;
        if (!next || next in this.document.events) {
          event.target.value = name;
          this.say(next ? `There is an event ${next} already.` : "An event needs a name.");
          return;
        }
        rename(this.document.events, name, next);
        this.selected = pointer("events", next);
        this.redraw();
      },
    });
  }

  remove(group, name) {
    if (group === "events") delete this.document.events[name];
    else delete this.document[group];
    const [first] = Object.keys(this.document.events ?? {});
    this.selected = first === undefined ? "/traits" : pointer("events", first);
    this.redraw();
  }

  /* --- Actions ------------------------------------------------------------------------------------------------ */

  planActions() {
    this.document.actions ??= {};
    return h("section", { class: "card plan-actions-card", "aria-labelledby": "actions-title" },
      h("div", { class: "card-header" },
        h("h2", { class: "card-title", id: "actions-title" }, "When a message differs"),
        h("p", { class: "card-note" }, "for all events that do not say otherwise")),
      h("div", { class: "card-body plan-kinds" },
        this.options.kinds.map((kind) => this.actionField(kind, this.document.actions, null))));
  }

  overrides(part) {
    const said = Object.keys(part.actions ?? {}).length;
    const kinds = this.options.kinds.filter((one) => one.kind !== "unknown_event");
    return h("details", { class: "plan-overrides", ...(said ? { open: true } : {}) },
      h("summary", {}, "When it differs", h("span", { class: "text-secondary" }, said ? ` ${said} of its own` : " as for all events")),
      h("div", { class: "plan-kinds" }, kinds.map((kind) => this.actionField(kind, null, part))));
  }

  actionField({ kind, label, strippable }, actions, part) {
    const id = `action-${kind}-${part ? "part" : "plan"}`;
    const offered = this.options.actions.filter(({ action }) => action !== "strip" || strippable);
    const options = offered.map(({ action, label: text }) => [action, text]);
    const current = part ? part.actions?.[kind] ?? "" : actions[kind] ?? "flag";
    return h("div", {},
      h("label", { class: "form-label", for: id }, label),
      select(part ? [["", "As for all events"], ...options] : options, current, {
        id, class: "form-select form-select-sm", disabled: this.readonly,
        onchange: (event) => {
          if (part) this.override(part, kind, event.target.value);
          else actions[kind] = event.target.value;
          this.changed();
        },
      }));
  }

  override(part, kind, action) {
    if (action) part.actions = { ...part.actions, [kind]: action };
    else delete part.actions?.[kind];
    if (part.actions && !Object.keys(part.actions).length) delete part.actions;
  }

  /* --- JSON --------------------------------------------------------------------------------------------------- */

  get jsonEdited() {
    return this.view === "json" && this.area !== undefined && this.area.value !== JSON.stringify(this.document, null, 2);
  }

  drawJson() {
    this.area = h("textarea", {
      class: "form-control plan-json", value: JSON.stringify(this.document, null, 2), readonly: this.readonly,
      spellcheck: "false", "aria-label": "The plan as JSON", oninput: () => this.changed(),
    });
    this.body.replaceChildren(h("section", { class: "card" }, h("div", { class: "card-body" }, this.area)));
  }

  /** Take what was typed over into the document; false where it is no JSON. */
  readJson() {
    if (!this.jsonEdited) return true;
    try {
      const found = JSON.parse(this.area.value);
      if (!isObject(found)) throw new SyntaxError("A plan is an object.");
      this.document = found;
      return true;
    } catch (error) {
      this.complain({ code: "json_invalid", message: `This is not JSON: ${error.message}` });
      return false;
    }
  }

  show(view) {
    if (view === this.view || !this.readJson()) return;
    const odd = this.oddPart();
    if (view === "form" && odd) {
      this.complain({ message: "The form cannot show this: an object is expected here.", path: odd });
      return;
    }
    this.view = view;
    for (const button of root.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
    if (view === "form" && !this.exists(this.selected)) this.selected = "/traits";
    this.redraw(null, { unchanged: true });
  }

  /** Where the document is not made of objects as a plan is; the server says more about it when it is saved. */
  oddPart() {
    const { events = {}, traits = {}, group_traits: groups = {}, actions = {} } = this.document;
    const parts = [["/events", events], ["/actions", actions], ["/traits", traits], ["/group_traits", groups]];
    const odd = parts.find(([, part]) => !isObject(part));
    if (odd) return odd[0];
    const named = Object.entries(events).find(([, part]) => !isObject(part));
    return named ? pointer("events", named[0]) : null;
  }

  exists(path) {
    let found = this.document;
    for (const step of steps(path)) found = isObject(found) ? found[step] : undefined;
    return found !== undefined;
  }

  showJson(path) {
    this.show("json");
    const [start, end] = placeOf(this.document, steps(path));
    this.area.focus();
    this.area.setSelectionRange(start, end);
    const line = this.area.value.slice(0, start).split("\n").length;
    const height = this.area.scrollHeight / this.area.value.split("\n").length;
    this.area.scrollTop = Math.max(0, (line - 5) * height);
  }

  /* --- Saving ------------------------------------------------------------------------------------------------- */

  async save() {
    if (!this.readJson()) return false;
    const text = this.text();
    this.saveButton.classList.add("btn-loading");
    try {
      const answer = await fetch(root.dataset.save, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
        body: JSON.stringify({ document: this.document, revision: this.options.revision }),
      });
      const said = await answer.json().catch(() => ({ message: `The server answered ${answer.status}.` }));
      if (!answer.ok) {
        this.complain(said);
        return false;
      }
      this.options.revision = said.revision;
      this.saved = text;
      if (this.view === "json") this.drawJson();
      this.changed();
      return true;
    } catch {
      this.complain({ message: "The server cannot be reached. What you typed is still here." });
      return false;
    } finally {
      this.saveButton.classList.remove("btn-loading");
    }
  }

  async saveAndGo(url) {
    if ((this.dirty || this.options.revision === 0) && !(await this.save())) return;
    leaving = true;
    location.assign(url);
  }

  /** Say what is wrong, and lead to it. */
  complain(problem) {
    this.alert.hidden = false;
    this.alert.replaceChildren(
      h("strong", {}, problem.message),
      problem.path ? h("code", { class: "plan-where" }, problem.path) : "",
      problem.path && this.view === "form"
        ? h("button", { type: "button", class: "btn btn-sm", onclick: () => this.showJson(problem.path) }, "Show in JSON") : "",
    );
    if (!problem.path) return;
    if (this.view === "json") this.showPath(problem.path);
    else this.markRow(problem.path);
  }

  showPath(path) {
    const [start, end] = placeOf(this.document, steps(path));
    this.area.value = JSON.stringify(this.document, null, 2);
    this.area.focus();
    this.area.setSelectionRange(start, end);
  }

  markRow(path) {
    const [group, name] = steps(path);
    if (group === "events" && name !== undefined) this.selected = pointer("events", name);
    for (let place = path; place; place = place.slice(0, place.lastIndexOf("/"))) this.opened.add(place);
    const alert = [...this.alert.childNodes];
    this.redraw(null, { unchanged: true });
    this.alert.replaceChildren(...alert);
    for (let place = path; place; place = place.slice(0, place.lastIndexOf("/"))) {
      const row = this.row(place);
      if (!row) continue;
      row.classList.add("is-bad");
      row.scrollIntoView({ block: "center" });
      return;
    }
  }
}

let leaving = false;
const editor = new Editor();

addEventListener("beforeunload", (event) => {
  if (!leaving && !editor.readonly && editor.dirty) event.preventDefault();
});
addEventListener("pageshow", () => {
  leaving = false;
});
