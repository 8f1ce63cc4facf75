import { h, icon, select } from "./dom.js";
import {
  MEASURES, MEASURES_OF, MEASURE_OPERATORS, SHAPES, UNITS, WINDOWS,
  emptyValue, fromLocalInput, hasNotDone, operatorsFor, parseDuration, toLocalInput, typeOfValue,
} from "./language.js";
import { matching, suggestInput } from "./suggest.js";

/**
 * The fields of one condition, as a sentence. `context` brings
 *   dictionary, typeOf(question, name): the known type or undefined, bad(field): is this field at fault,
 *   edit(json, key): the changed condition; with a key it is typing, which redraws nothing.
 */
export function conditionFields(json, context) {
  if (json?.type === "trait") return traitFields(json, context);
  if (json?.type === "event") return eventFields(json, context);
  return rawFields(json);
}

export const newEvent = () => ({
  type: "event", event: "", measure: "count", op: "gte", value: 1, window: { last: "30d" },
});
export const newTrait = () => ({ type: "trait", trait: "", op: "eq", value: "" });

const word = (text) => h("span", { class: "word" }, text);
const line = (...parts) => h("div", { class: "phrase" }, ...parts);

function rawFields(json) {
  const kind = json?.type ?? "unknown";
  return [
    line(word("A “"), h("strong", {}, String(kind)), word("” condition, kept as it is. Edit it in the JSON view.")),
    h("pre", { class: "raw" }, JSON.stringify(json, null, 2)),
  ];
}

// --- Who they are ---------------------------------------------------------------------------------------------

function traitFields(json, context) {
  const known = context.typeOf({ of: "traits" }, json.trait);
  const name = suggestInput({
    value: json.trait, label: "Trait", placeholder: "choose a trait", name: "trait", invalid: context.bad("trait"),
    ask: async (text) => matching(await context.dictionary.ask({ of: "traits" }), text),
    onpick: (value) => context.edit({ ...json, trait: value }, "trait"),
    oncommit: (value, type) => context.edit(suited({ ...json, trait: value }, type)),
  });
  const ask = async (text) =>
    json.trait ? matching(await context.dictionary.ask({ of: "values", trait: json.trait }), text) : [];
  return [line(word("Their"), name, ...comparison(json, known, ask, "", context, (next, key) => context.edit(next, key)))];
}

/** The condition with an operator and value that suit the type of the trait or property just chosen. */
function suited(json, type) {
  if (!type || type === "unknown") return json;
  if (operatorsFor(type).some(([name]) => name === json.op)) {
    if (SHAPES[json.op] !== "any" || typeOfValue(json.value, type) === type) return json;
    return { ...json, value: type === "number" && json.value !== "" && !Number.isNaN(Number(json.value)) ? Number(json.value) : emptyValue("any", type, "") };
  }
  return withOperator(json, operatorsFor(type)[0][0], type);
}

function withOperator(json, op, type) {
  const { value, ...rest } = json;
  if (SHAPES[op] === SHAPES[json.op]) return { ...json, op };
  const next = emptyValue(SHAPES[op], type, value);
  return next === undefined ? { ...rest, op } : { ...rest, op, value: next };
}

/** Operator and value of a trait or of a property; `set(json, key)` takes the changed object. */
function comparison(json, known, ask, prefix, context, set) {
  const type = known ?? (["number", "boolean"].includes(typeof json.value) ? typeof json.value : "string");
  const operator = select(operatorsFor(type === "string" ? known ?? "unknown" : type, json.op), json.op, {
    "aria-label": "Operator",
    "data-field": `${prefix}op`,
    onchange: (event) => set(withOperator(json, event.target.value, type)),
  });
  return [operator, ...valueFields(json, known, ask, prefix, context, set)];
}

// --- Values ---------------------------------------------------------------------------------------------------

function valueFields(json, known, ask, prefix, context, set) {
  const name = `${prefix}value`;
  const invalid = context.bad(name);
  const put = (value, key) => set({ ...json, value }, key);
  switch (SHAPES[json.op]) {
    case "none":
      return [];
    case "number":
      return [numberInput(json.value, name, invalid, (value) => put(value, name))];
    case "pair":
      return pairInputs(json.value, name, invalid, put);
    case "list":
      return [listInput(json.value, typeOfValue(json.value?.[0], known), name, invalid, ask, put)];
    case "text":
      return [textInput(json.value, name, invalid, (value) => put(value, name))];
    case "time":
      return [timeInput(json.value, name, invalid, "Time", (value) => put(value))];
    case "duration":
      return durationInputs(json.value, name, invalid, put);
    default:
      return scalarInput(json.value, known, name, invalid, ask, put);
  }
}

function scalarInput(value, known, name, invalid, ask, put) {
  const type = typeOfValue(value, known);
  if (type === "boolean") {
    const options = [["true", "true"], ["false", "false"]];
    const onchange = (event) => put(event.target.value === "true");
    return [select(options, String(value), { "data-field": name, "aria-label": "Value", onchange })];
  }
  const field =
    type === "number"
      ? numberInput(value, name, invalid, (next) => put(next, name))
      : suggestInput({
          value, label: "Value", placeholder: "value", name, invalid,
          ask: async (text) => (await ask(text)).map((entry) => ({ ...entry, type: undefined })),
          onpick: (next) => put(next, name),
        });
  const certain = known === type || (known === "date" && type === "string");
  return certain ? [field] : [field, typeSwitch(type, value, put)];
}

/** Text "5" and number 5 are different values; where the data does not say which, the person does. */
function typeSwitch(type, value, put) {
  const number = type === "number";
  const turn = () => put(number ? String(value ?? "") : value === "" || Number.isNaN(Number(value)) ? null : Number(value));
  const label = number ? "A number; compare as text instead" : "Text; compare as a number instead";
  return h("button", { class: "btn btn-sm btn-ghost-secondary type-switch", type: "button", title: label, "aria-label": label, onclick: turn }, number ? "123" : "Abc");
}

function numberInput(value, name, invalid, onvalue, label = "Value") {
  const shown = typeof value === "number" ? value : "";
  const input = h("input", {
    class: `form-control number${invalid ? " is-invalid" : ""}`,
    type: "number", step: "any", value: shown, "data-field": name, "aria-label": label, inputmode: "decimal",
    oninput: () => onvalue(input.value === "" ? null : Number(input.value)),
  });
  return input;
}

function textInput(value, name, invalid, onvalue) {
  const input = h("input", {
    class: `form-control${invalid ? " is-invalid" : ""}`,
    type: "text", value: value ?? "", "data-field": name, "aria-label": "Text", placeholder: "text",
    oninput: () => onvalue(input.value),
  });
  return input;
}

function pairInputs(value, name, invalid, put) {
  const pair = Array.isArray(value) ? value : [null, null];
  const at = (index) =>
    numberInput(pair[index], `${name}/${index}`, invalid, (next) => {
      pair[index] = next;
      put([...pair], name);
    }, index ? "Upper bound" : "Lower bound");
  return [at(0), word("and"), at(1)];
}

function timeInput(value, name, invalid, label, onvalue) {
  return h("input", {
    class: `form-control${invalid ? " is-invalid" : ""}`,
    type: "datetime-local", value: toLocalInput(value), "data-field": name, "aria-label": label,
    onchange: (event) => onvalue(fromLocalInput(event.target.value)),
  });
}

function durationInputs(value, name, invalid, put) {
  const parsed = parseDuration(value);
  if (!parsed && value) return [textInput(value, name, invalid, (next) => put(next, name))];
  let { amount, unit } = parsed ?? { amount: "", unit: "d" };
  const input = h("input", {
    class: `form-control number short${invalid ? " is-invalid" : ""}`,
    type: "number", min: 1, step: 1, value: amount, "data-field": name, "aria-label": "How long", inputmode: "numeric",
    oninput: () => {
      amount = input.value;
      put(amount ? `${Math.trunc(Number(amount))}${unit}` : "", name);
    },
  });
  const units = select(UNITS, unit, {
    "aria-label": "Unit", "data-field": `${name}/unit`,
    onchange: (event) => {
      unit = event.target.value;
      put(amount ? `${Math.trunc(Number(amount))}${unit}` : "");
    },
  });
  return [input, units];
}

function listInput(values, type, name, invalid, ask, put) {
  const list = Array.isArray(values) ? values : [];
  const add = (text, chosen) => {
    const parts = chosen === undefined ? String(text).split(",").map((part) => part.trim()).filter(Boolean) : [chosen];
    const fresh = parts.map((part) => (type === "number" && !Number.isNaN(Number(part)) ? Number(part) : part));
    const next = [...list, ...fresh.filter((part) => !list.includes(part))];
    if (next.length > list.length) put(next);
  };
  const chips = list.map((value, index) =>
    h("span", { class: "chip" }, String(value),
      h("button", {
        type: "button", class: "chip-remove", "aria-label": `Remove ${value}`,
        onclick: () => put(list.filter((_, place) => place !== index)),
      }, icon("x"))));
  const box = suggestInput({
    value: "", label: "Add a value", placeholder: list.length ? "add" : "values", name, invalid,
    ask: async (text) => (await ask(text)).filter((entry) => !list.includes(entry.value)).map((entry) => ({ ...entry, type: undefined })),
    onpick: () => {},
    oncommit: (value) => value !== "" && add(value, typeof value === "string" ? undefined : value),
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.defaultPrevented && event.target.value) {
      event.preventDefault();
      add(event.target.value);
    }
  });
  return h("span", { class: "chips" }, chips, box);
}

// --- What they did --------------------------------------------------------------------------------------------

function eventFields(json, context) {
  const names = Array.isArray(json.event) ? json.event : [json.event];
  const undone = hasNotDone(json);
  const first = line(
    doneSelect(json, undone, context),
    ...eventNames(json, names, context),
    ...(undone ? [] : measureFields(json, names, context)),
    ...windowFields(json, context),
  );
  return [first, ...spanLine(json, context), ...whereLines(json, names, context)];
}

function doneSelect(json, undone, context) {
  const change = (event) => {
    const { of: _of, span: _span, ...rest } = json;
    if (event.target.value === "not") context.edit({ ...rest, measure: "count", op: "eq", value: 0 });
    else context.edit({ ...rest, measure: "count", op: "gte", value: 1 });
  };
  const options = [["done", "Has done"], ["not", "Has not done"]];
  return select(options, undone ? "not" : "done", { "aria-label": "Done or not done", "data-field": "done", onchange: change });
}

function eventNames(json, names, context) {
  const put = (list) => ({ ...json, event: list.length === 1 && !Array.isArray(json.event) ? list[0] : list });
  const at = (index, value) => put(names.map((old, place) => (place === index ? value : old)));
  const inputs = names.flatMap((name, index) => [
    index > 0 ? word("or") : null,
    suggestInput({
      value: name, label: "Event", placeholder: "choose an event", name: index ? `event/${index}` : "event",
      invalid: context.bad("event"),
      ask: async (text) => matching(await context.dictionary.ask({ of: "events" }), text),
      onpick: (value) => context.edit(at(index, value), `event/${index}`),
      oncommit: (value) => context.edit(at(index, value)),
    }),
    names.length > 1
      ? smallButton("x", `Remove ${name || "this event"}`, () => {
          const rest = names.filter((_, place) => place !== index);
          context.edit({ ...json, event: rest.length === 1 ? rest[0] : rest });
        })
      : null,
  ]);
  const more = h("button", {
    type: "button", class: "btn btn-sm btn-ghost-secondary", "aria-label": "Or another event", title: "Or another event",
    onclick: () => context.edit({ ...json, event: [...names, ""] }, null, `event/${names.length}`),
  }, "or…");
  return [...inputs, names[names.length - 1] ? more : null];
}

const smallButton = (name, label, onclick) =>
  h("button", { type: "button", class: "btn btn-icon btn-sm btn-ghost-secondary", "aria-label": label, title: label, onclick }, icon(name));

function measureFields(json, names, context) {
  const measure = json.measure ?? "count";
  const change = (event) => {
    const next = { ...json, measure: event.target.value };
    if (!MEASURES_OF.includes(next.measure)) delete next.of;
    if (!["count", "sum"].includes(next.measure)) delete next.span;
    context.edit(next);
  };
  const measureSelect = select(MEASURES, measure, { "aria-label": "Measure", "data-field": "measure", onchange: change });
  const known = context.typeOf({ of: "properties", event: names }, json.of);
  const property = MEASURES_OF.includes(measure)
    ? suggestInput({
        value: json.of, label: "Property", placeholder: "choose a property", name: "of", invalid: context.bad("of"),
        ask: async (text) => matching(await propertiesFor(names, measure, context), text),
        onpick: (value) => context.edit({ ...json, of: value }, "of"),
        oncommit: (value) => context.edit({ ...json, of: value }),
      })
    : null;
  if (measure === "first" || measure === "last") {
    const ask = valuesOf(names, json.of, context);
    return [word(", the"), measureSelect, property, ...comparison(json, known, ask, "", context, (next, key) => context.edit(next, key))];
  }
  const operator = select(MEASURE_OPERATORS, json.op, {
    "aria-label": "Operator", "data-field": "op",
    onchange: (event) => {
      const op = event.target.value;
      context.edit({ ...json, op, value: emptyValue(SHAPES[op] === "pair" ? "pair" : "number", "number", json.value) });
    },
  });
  const value =
    SHAPES[json.op] === "pair"
      ? pairInputs(json.value, "value", context.bad("value"), (next, key) => context.edit({ ...json, value: next }, key))
      : [numberInput(json.value, "value", context.bad("value"), (next) => context.edit({ ...json, value: next }, "value"))];
  return [word(", the"), measureSelect, property, operator, ...value];
}

/** Numbers first where the measure calculates. */
async function propertiesFor(names, measure, context) {
  const entries = await context.dictionary.ask({ of: "properties", event: names });
  if (!["sum", "avg", "min", "max"].includes(measure)) return entries;
  const rank = (entry) => (entry.type === "number" ? 0 : 1);
  return [...entries].sort((one, other) => rank(one) - rank(other));
}

const valuesOf = (names, property, context) => async (text) =>
  property ? matching(await context.dictionary.ask({ of: "values", event: names, property }), text) : [];

function windowKind(window) {
  if (!window || Object.keys(window).length === 0) return "all";
  if ("last" in window) return "last";
  if ("calendar" in window) return window.calendar;
  if ("after" in window && "before" in window) return "between";
  return "after" in window ? "after" : "before";
}

function windowFields(json, context) {
  const window = json.window;
  const put = (next, key) => context.edit({ ...json, window: next }, key);
  const change = (event) => {
    const { window: old, ...rest } = json;
    const kind = event.target.value;
    if (kind === "all") return context.edit(rest);
    const fresh = {
      last: { last: old?.last ?? "30d" },
      after: { after: old?.after ?? "" },
      before: { before: old?.before ?? "" },
      between: { after: old?.after ?? "", before: old?.before ?? "" },
    }[kind] ?? { ...(old?.tz && { tz: old.tz }), calendar: kind };
    return context.edit({ ...rest, window: fresh });
  };
  const kind = windowKind(window);
  const offered = context.calendars ? WINDOWS : WINDOWS.filter(([name]) => !/^(today|yesterday|this_|last_)/.test(name) || name === kind);
  const kinds = select(offered, kind, { "aria-label": "When", "data-field": "window", onchange: change });
  const time = (field, label) =>
    timeInput(window[field], `window/${field}`, context.bad(`window/${field}`), label, (value) => put({ ...window, [field]: value }));
  const inputs = {
    last: () => durationInputs(window.last, "window/last", context.bad("window/last"), (last, key) => put({ ...window, last }, key)),
    after: () => [time("after", "Since")],
    before: () => [time("before", "Before")],
    between: () => [time("after", "From"), word("and"), time("before", "Until")],
  }[kind];
  return [kinds, ...(inputs ? inputs() : [])];
}

function spanLine(json, context) {
  if (json.span === undefined) return [];
  const { span, ...rest } = json;
  return [
    line(
      word("all within some stretch of"),
      ...durationInputs(span, "span", context.bad("span"), (next, key) => context.edit({ ...json, span: next }, key)),
      smallButton("x", "Remove the stretch", () => context.edit(rest)),
    ),
  ];
}

function whereLines(json, names, context) {
  const filters = json.where ?? [];
  const put = (list, key, focus) => {
    const { where: _where, ...rest } = json;
    context.edit(list.length ? { ...json, where: list } : rest, key, focus);
  };
  const lines = filters.map((filter, index) => {
    const prefix = `where/${index}/`;
    const known = context.typeOf({ of: "properties", event: names }, filter.property);
    const set = (next, key) => put(filters.map((old, place) => (place === index ? next : old)), key);
    const property = suggestInput({
      value: filter.property, label: "Property", placeholder: "choose a property", name: `${prefix}property`,
      invalid: context.bad(`${prefix}property`),
      ask: async (text) => matching(await context.dictionary.ask({ of: "properties", event: names }), text),
      onpick: (value) => set({ ...filter, property: value }, `${prefix}property`),
      oncommit: (value, type) => set(suited({ ...filter, property: value }, type)),
    });
    const fields = comparison(filter, known, valuesOf(names, filter.property, context), prefix, context, set);
    const drop = smallButton("x", "Remove this filter", () => put(filters.filter((_, place) => place !== index)));
    return h("div", { class: "phrase filter" }, word(index ? "and" : "where its"), property, ...fields, drop);
  });
  const add = h("button", {
    type: "button", class: "btn btn-sm btn-ghost-secondary add-filter",
    onclick: () => put([...filters, { property: "", op: "eq", value: "" }], null, `where/${filters.length}/property`),
  }, icon("filter-plus"), filters.length ? "And…" : "Only where…");
  return [...lines, h("div", { class: "phrase filter" }, add)];
}
