// What the editor reads from a JSON Schema and writes into it. It changes the keywords that it shows and no others,
// so that a plan written as JSON comes back from the form as it was.

export const TYPES = [
  ["", "anything"],
  ["string", "text"],
  ["number", "number"],
  ["integer", "whole number"],
  ["boolean", "yes or no"],
  ["object", "object"],
  ["array", "list"],
];

const PLAIN = new Set([
  "type", "description", "title", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
  "properties", "required", "additionalProperties", "items", "x-seen",
]);

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether the form shows all that this schema says. */
export function isPlain(schema) {
  if (!isObject(schema) || Object.keys(schema).some((key) => !PLAIN.has(key))) return false;
  if ("items" in schema && !isObject(schema.items)) return false;
  return !("properties" in schema) || isObject(schema.properties);
}

const listed = (schema) => (schema.type === undefined ? [] : [schema.type].flat());
export const typesOf = (schema) => listed(schema).filter((type) => type !== "null");
export const isNullable = (schema) => listed(schema).includes("null");

export function setTypes(schema, types, nullable) {
  const all = [...types, ...(nullable && types.length ? ["null"] : [])];
  if (!all.length) delete schema.type;
  else schema.type = all.length === 1 ? all[0] : all;
  if (!Array.isArray(schema.enum)) return;
  schema.enum = schema.enum.filter((value) => value !== null);
  if (nullable) schema.enum.push(null);
}

/** Set a keyword, or take it away where there is nothing to say. */
export function put(schema, key, value) {
  if (value === null || value === undefined || value === "" || Number.isNaN(value)) delete schema[key];
  else schema[key] = value;
}

/** Rules of another type mean nothing any more. */
export function dropForeign(schema, type) {
  const kept = {
    string: ["format", "enum", "pattern", "minLength", "maxLength"],
    number: ["minimum", "maximum", "enum", "x-seen"],
    integer: ["minimum", "maximum", "enum", "x-seen"],
    object: ["properties", "required", "additionalProperties"],
    array: ["items"],
  };
  const mine = new Set(kept[type] ?? []);
  for (const key of new Set(Object.values(kept).flat())) if (!mine.has(key)) delete schema[key];
  if (type === "object") schema.properties ??= {};
  if (type === "array") schema.items ??= {};
}

export const isRequired = (schema, name) => Array.isArray(schema.required) && schema.required.includes(name);

export function setRequired(schema, name, required) {
  const others = (schema.required ?? []).filter((one) => one !== name);
  if (required) schema.required = [...others, name];
  else if (others.length) schema.required = others;
  else delete schema.required;
}

/** Rename a key in its place. */
export function rename(map, from, to) {
  const entries = Object.entries(map).map(([name, value]) => [name === from ? to : name, value]);
  for (const name of Object.keys(map)) delete map[name];
  Object.assign(map, Object.fromEntries(entries));
}

export function choices(text, schema) {
  const numeric = typesOf(schema).some((type) => type === "number" || type === "integer");
  const values = [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];
  const typed = values.map((value) => (numeric && !Number.isNaN(Number(value)) ? Number(value) : value));
  return typed.length ? [...typed, ...(isNullable(schema) ? [null] : [])] : null;
}

/** A JSON pointer as its steps. */
export const steps = (pointer) =>
  pointer.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
export const pointer = (...parts) =>
  parts.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

/** Where, in text made by JSON.stringify(value, null, 2), the value at these steps stands. */
export function placeOf(value, wanted) {
  let at = 0;
  let text = JSON.stringify(value, null, 2);
  let inside = value;
  let indent = "";
  for (const step of wanted) {
    if (typeof inside !== "object" || inside === null || !(step in inside)) break;
    indent += "  ";
    const index = Object.keys(inside).indexOf(step);
    for (let skipped = 0; skipped <= index; skipped += 1) {
      const line = text.indexOf(`\n${indent}`, at + 1);
      at = line;
      while (skipped <= index && ["}", "]", " "].includes(text[at + 1 + indent.length])) {
        at = text.indexOf(`\n${indent}`, at + 1);
      }
    }
    inside = inside[step];
  }
  const start = at === 0 ? 0 : at + 1;
  const end = text.indexOf("\n", start);
  return [start, end < 0 ? text.length : end];
}
