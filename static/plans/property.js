// The rows of the form: a property with its type, and what else may be asked of it.
import { h, icon, select } from "../segments/dom.js";
import {
  TYPES, choices, dropForeign, isNullable, isObject, isPlain, isRequired, pointer, put, rename, setRequired, setTypes,
  typesOf,
} from "./schema.js";

let serial = 0;

/** The properties of `schema` (of an event, of an object inside it, of the items of a list). */
export function propertyList(schema, path, editor) {
  const names = Object.keys(isObject(schema.properties) ? schema.properties : {});
  const list = h("ul", { class: "props" });
  for (const name of names) list.append(propertyRow(schema, name, path, editor));
  const box = h("div", { class: "props-box" }, names.length ? list : emptyHint(editor), foot(schema, path, editor));
  return box;
}

const emptyHint = () => h("p", { class: "props-none" }, "No property is named yet.");

function foot(schema, path, editor) {
  const id = `open-${(serial += 1)}`;
  const open = h("input", {
    class: "form-check-input", type: "checkbox", id, checked: schema.additionalProperties !== false,
    disabled: editor.readonly || isObject(schema.additionalProperties),
    onchange: (event) => {
      if (event.target.checked) delete schema.additionalProperties;
      else schema.additionalProperties = false;
      editor.changed();
    },
  });
  return h(
    "div", { class: "props-foot" },
    editor.readonly ? null : h("button", { type: "button", class: "btn btn-sm", onclick: () => add(schema, path, editor) },
      icon("plus"), "Add property"),
    h("label", { class: "form-check", for: id }, open,
      h("span", { class: "form-check-label" }, "Other properties may come, too")),
  );
}

function add(schema, path, editor) {
  schema.properties ??= {};
  let name = "new_property";
  for (let number = 2; name in schema.properties; number += 1) name = `new_property_${number}`;
  schema.properties[name] = { type: "string" };
  editor.opened.add(path + pointer("properties", name));
  editor.redraw(path + pointer("properties", name));
}

function propertyRow(owner, name, path, editor) {
  const schema = owner.properties[name];
  const here = path + pointer("properties", name);
  const plain = isPlain(schema);
  const row = h("li", { class: "prop", "data-path": here });
  row.append(
    h("div", { class: "prop-line" },
      nameField(owner, name, path, editor),
      plain ? typeField(schema, here, editor, name) : h("span", { class: "prop-type text-secondary" }, "written as JSON"),
      requiredField(owner, name, editor),
      summary(schema, plain),
      tools(owner, name, here, editor)),
    editor.opened.has(here) ? details(schema, plain, here, editor) : "",
  );
  return row;
}

function nameField(owner, name, path, editor) {
  return h("input", {
    class: "form-control form-control-sm prop-name", value: name, "aria-label": "Name of the property",
    disabled: editor.readonly, spellcheck: "false", "data-name": "", maxlength: "200",
    onchange: (event) => {
      const next = event.target.value.trim();
      if (next === name) return;
      if (!next || next in owner.properties) {
        event.target.value = name;
        editor.say(next ? `There is a property ${next} already.` : "A property needs a name.");
        return;
      }
      const required = isRequired(owner, name);
      rename(owner.properties, name, next);
      if (required) owner.required = owner.required.map((one) => (one === name ? next : one));
      editor.opened.add(path + pointer("properties", next));
      editor.redraw(path + pointer("properties", next));
    },
  });
}

function typeField(schema, here, editor, name) {
  const types = typesOf(schema);
  const several = types.length > 1 ? [[types.join(), types.map((type) => word(type)).join(" or ")]] : [];
  const field = select([...TYPES, ...several], types.join(), {
    class: "form-select form-select-sm prop-type", "aria-label": `Type of ${name}`, disabled: editor.readonly,
    onchange: (event) => {
      const chosen = event.target.value ? event.target.value.split(",") : [];
      setTypes(schema, chosen, isNullable(schema));
      if (chosen.length === 1) dropForeign(schema, chosen[0]);
      editor.redraw(here);
    },
  });
  return field;
}

const word = (type) => TYPES.find(([name]) => name === type)?.[1] ?? type;

function requiredField(owner, name, editor) {
  const id = `required-${(serial += 1)}`;
  return h("label", { class: "form-check prop-required", for: id },
    h("input", {
      class: "form-check-input", type: "checkbox", id, checked: isRequired(owner, name), disabled: editor.readonly,
      onchange: (event) => {
        setRequired(owner, name, event.target.checked);
        editor.changed();
      },
    }),
    h("span", { class: "form-check-label" }, "Required"));
}

function summary(schema, plain) {
  if (!plain) return h("span", { class: "prop-note" });
  const said = [
    schema.format,
    Array.isArray(schema.enum) && `${schema.enum.length} values`,
    schema.pattern && "pattern",
    "minimum" in schema && `≥ ${schema.minimum}`,
    "maximum" in schema && `≤ ${schema.maximum}`,
    isNullable(schema) && "may be empty",
    schema.properties && `${Object.keys(schema.properties).length} inside`,
    isObject(schema.items) && (typesOf(schema.items).map(word).join(" or ") || ""),
  ].filter(Boolean);
  return h("span", { class: "prop-note", title: said.join(", ") }, said.join(", "));
}

function tools(owner, name, here, editor) {
  const open = editor.opened.has(here);
  return h("span", { class: "prop-tools" },
    h("button", {
      type: "button", class: "btn btn-sm btn-icon", "aria-expanded": String(open), "aria-label": `Details of ${name}`,
      onclick: () => {
        if (open) editor.opened.delete(here);
        else editor.opened.add(here);
        editor.redraw(here, { unchanged: true, focus: "[aria-expanded]" });
      },
    }, icon(open ? "chevron-up" : "chevron-down")),
    editor.readonly ? null : h("button", {
      type: "button", class: "btn btn-sm btn-icon", "aria-label": `Remove ${name}`,
      onclick: () => {
        delete owner.properties[name];
        setRequired(owner, name, false);
        editor.redraw();
      },
    }, icon("trash")));
}

/* --- Details ------------------------------------------------------------------------------------------------ */

function details(schema, plain, here, editor) {
  if (!plain) {
    return h("div", { class: "prop-more" },
      h("p", { class: "text-secondary" }, "This property uses more of JSON Schema than the form shows."),
      h("button", { type: "button", class: "btn btn-sm", onclick: () => editor.showJson(here) }, "Edit as JSON"));
  }
  const [type] = typesOf(schema);
  const parts = [
    field("Description", "description", schema, editor, { wide: true }),
    ...(type === "string" ? textFields(schema, editor) : []),
    ...(type === "number" || type === "integer" ? numberFields(schema, here, editor) : []),
    type ? nullable(schema, here, editor) : null,
  ];
  const box = h("div", { class: "prop-more" }, h("div", { class: "prop-fields" }, parts));
  if (type === "object" || schema.properties) box.append(propertyList(schema, here, editor));
  if (type === "array" && isObject(schema.items)) box.append(itemFields(schema, here, editor));
  return box;
}

function labelled(label, control, { wide = false, hint = "" } = {}) {
  const id = `field-${(serial += 1)}`;
  control.id = id;
  return h("div", { class: wide ? "prop-field prop-wide" : "prop-field" },
    h("label", { class: "form-label", for: id }, label), control, hint ? h("div", { class: "form-hint" }, hint) : null);
}

function field(label, key, schema, editor, { number = false, wide = false, hint = "" } = {}) {
  return labelled(label, h("input", {
    class: "form-control form-control-sm", value: schema[key] ?? "", disabled: editor.readonly,
    type: number ? "number" : "text", step: "any", "data-key": key, spellcheck: "false",
    onchange: (event) => {
      const text = event.target.value;
      put(schema, key, number && text !== "" ? Number(text) : text);
      editor.changed();
    },
  }), { wide, hint });
}

function textFields(schema, editor) {
  const formats = [["", "any text"], ...editor.options.formats.map((name) => [name, name])];
  return [
    labelled("Format", select(formats, schema.format ?? "", {
      class: "form-select form-select-sm", disabled: editor.readonly,
      onchange: (event) => {
        put(schema, "format", event.target.value);
        editor.changed();
      },
    })),
    field("Pattern", "pattern", schema, editor, { hint: "A regular expression, such as ^[A-Z]{2}$" }),
    field("Shortest", "minLength", schema, editor, { number: true }),
    field("Longest", "maxLength", schema, editor, { number: true }),
    valuesField(schema, editor),
  ];
}

function numberFields(schema, here, editor) {
  const seen = schema["x-seen"];
  const note = isObject(seen)
    ? h("p", { class: "form-hint prop-wide" }, `Seen: ${seen.min} to ${seen.max}. `, editor.readonly ? null
      : h("button", {
        type: "button", class: "btn-link", onclick: () => {
          put(schema, "minimum", seen.min);
          put(schema, "maximum", seen.max);
          editor.redraw(here);
        },
      }, "Make these the limits"))
    : null;
  return [
    field("Least", "minimum", schema, editor, { number: true }),
    field("Most", "maximum", schema, editor, { number: true }),
    valuesField(schema, editor),
    note,
  ];
}

function valuesField(schema, editor) {
  const text = (schema.enum ?? []).filter((value) => value !== null).join("\n");
  return labelled("Allowed values", h("textarea", {
    class: "form-control form-control-sm", rows: Math.min(6, Math.max(2, text.split("\n").length)), value: text,
    disabled: editor.readonly || (schema.enum ?? []).some((value) => typeof value === "object" && value !== null),
    spellcheck: "false",
    onchange: (event) => {
      put(schema, "enum", choices(event.target.value, schema));
      editor.changed();
    },
  }), { wide: true, hint: "One in each line; none: any value." });
}

function nullable(schema, here, editor) {
  const id = `null-${(serial += 1)}`;
  return h("label", { class: "form-check prop-wide", for: id },
    h("input", {
      class: "form-check-input", type: "checkbox", id, checked: isNullable(schema), disabled: editor.readonly,
      onchange: (event) => {
        setTypes(schema, typesOf(schema), event.target.checked);
        editor.redraw(here);
      },
    }),
    h("span", { class: "form-check-label" }, "May be empty (null)"));
}

function itemFields(schema, here, editor) {
  const items = schema.items;
  const inside = `${here}/items`;
  const plain = isPlain(items);
  const [type] = plain ? typesOf(items) : [];
  return h("div", { class: "prop-items", "data-path": inside },
    plain ? labelled("Each item is", typeField(items, inside, editor, "each item")) : null,
    !plain ? h("button", { type: "button", class: "btn btn-sm", onclick: () => editor.showJson(inside) }, "Edit as JSON") : null,
    type === "string" ? h("div", { class: "prop-fields" }, textFields(items, editor)) : null,
    type === "number" || type === "integer" ? h("div", { class: "prop-fields" }, numberFields(items, inside, editor)) : null,
    type === "object" || items.properties ? propertyList(items, inside, editor) : null);
}
