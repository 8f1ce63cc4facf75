import { h, icon, select } from "./dom.js";
import {
  MEASURES, MEASURES_OF, MEASURE_OPERATORS, SHAPES, STANDINGS, UNITS, WINDOWS,
  asNumber, emptyValue, fromLocalInput, hasNotDone, operatorsFor, parseDuration, toLocalInput, typeOfValue,
} from "./language.js";
import { matching, suggestInput } from "./suggest.js";

/**
 * The fields of one condition, as a sentence. `context` brings the dictionary, typeOf(question, name), and
 * edit(json, key, focus): the changed condition; with a key it is typing, which redraws nothing. `json` is a draft
 * that the builder keeps equal to the condition, so handlers read from it when they are called.
 */
export function conditionFields(json, context) {
  if (json?.type === "trait") return traitFields(json, context);
  if (json?.type === "account") return accountFields(json, context);
  if (json?.type === "consent") return consentFields(json, context);
  if (json?.type === "event") return eventFields(json, context);
  if (json?.type === "sequence" && Array.isArray(json.steps)) return sequenceFields(json, context);
  if (json?.type === "segment") return segmentFields(json, context);
  return rawFields(json);
}

export const newEvent = () => ({
  type: "event", event: "", measure: "count", op: "gte", value: 1, window: { last: "30d" },
});
export const newSequence = () => ({
  type: "sequence", steps: [{ event: "" }, { event: "", absent: true, within: "30m" }], window: { last: "7d" },
});
export const newSegment = () => ({ type: "segment", segment: "" });
export const newAccount = () => ({ type: "account", trait: "", op: "eq", value: "" });
export const newConsent = () => ({ type: "consent", purpose: "", state: "granted" });
export const newTrait = () => ({ type: "trait", trait: "", op: "eq", value: "" });

const word = (text) => h("span", { class: "word" }, text);
const line = (...parts) => h("div", { class: "phrase" }, ...parts);
const without = (object, ...names) => Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

const iconButton = (name, label, onclick) =>
  h("button", { type: "button", class: "btn btn-icon btn-sm btn-ghost-secondary", "aria-label": label, title: label, onclick }, icon(name));

function rawFields(json) {
  const kind = String(json?.type ?? "unknown");
  return [
    line(word(`A condition of type “${kind}”, kept as it is. Edit it in the JSON view.`)),
    h("pre", { class: "raw" }, JSON.stringify(json, null, 2)),
  ];
}

// --- Who they are ---------------------------------------------------------------------------------------------

function traitFields(json, context) {
  return [line(word("Their"), ...traitTest(json, context, { names: "traits", values: "values", label: "Trait" }))];
}

/** Of any account that they belong to; "is not" and its like hold where none of them is. */
function accountFields(json, context) {
  const about = { names: "account_traits", values: "account_values", label: "Account trait" };
  return [line(word("Their account’s"), ...traitTest(json, context, about))];
}

function traitTest(json, context, { names, values: ofValues, label }) {
  const known = context.typeOf({ of: names }, json.trait);
  const name = suggestInput({
    value: json.trait, label, placeholder: "choose a trait", name: "trait",
    ask: async (text) => matching(await context.dictionary.ask({ of: names }), text),
    onpick: (value) => context.edit({ ...json, trait: value }, "trait"),
    oncommit: (value, type) => context.edit(suited({ ...json, trait: value }, type)),
  });
  const values = async (text) =>
    json.trait ? matching(await context.dictionary.ask({ of: ofValues, trait: json.trait }), text) : [];
  return [name, ...comparison(json, { known, values, set: context.edit })];
}

function consentFields(json, context) {
  const onchange = (event) => context.edit({ ...json, state: event.target.value });
  const state = select(STANDINGS, json.state, { "aria-label": "Consent", "data-field": "state", onchange });
  const purpose = suggestInput({
    value: json.purpose, label: "Purpose", placeholder: "choose a purpose", name: "purpose",
    ask: async (text) => matching(await context.dictionary.ask({ of: "purposes" }), text),
    onpick: (value) => context.edit({ ...json, purpose: value }, "purpose"),
    oncommit: (value) => context.edit({ ...json, purpose: value }),
  });
  return [line(word("They"), state, purpose)];
}

/** The comparison with an operator and a value that suit the type of the trait or property just chosen. */
function suited(json, type) {
  if (!["string", "number", "boolean"].includes(type)) return json;
  if (!operatorsFor(type).some(([name]) => name === json.op)) return withOperator(json, operatorsFor(type)[0][0], type);
  if (SHAPES[json.op] !== "any" || typeOfValue(json.value, type) === type) return json;
  return { ...json, value: type === "number" ? asNumber(json.value) : "" };
}

function withOperator(json, op, type) {
  if (SHAPES[op] === SHAPES[json.op]) return { ...json, op };
  const value = emptyValue(SHAPES[op], type, json.value);
  return value === undefined ? { ...without(json, "value"), op } : { ...json, op, value };
}

/**
 * Operator and value of a trait or of a property. `set(json, key)` takes the changed object; `values(text)`
 * promises what was seen in the data; `prefix` tells the fields of several filters apart; `without` names operators
 * that are not for this place.
 */
function comparison(json, { known, values, set, prefix = "", without: unfit = [] }) {
  const seen = ["number", "boolean"].includes(typeof json.value) ? typeof json.value : undefined;
  const offered = operatorsFor(known ?? seen, json.op).filter(([name]) => !unfit.includes(name));
  const operator = select(offered, json.op, {
    "aria-label": "Operator",
    "data-field": `${prefix}op`,
    onchange: (event) => set(withOperator(json, event.target.value, known ?? seen ?? "string")),
  });
  const put = (value, key) => set({ ...json, value }, key);
  return [operator, ...valueFields(json, { known, values, put, name: `${prefix}value` })];
}

// --- Values ---------------------------------------------------------------------------------------------------

function valueFields(json, { known, values, put, name }) {
  switch (SHAPES[json.op]) {
    case "none":
      return [];
    case "number":
      return [numberInput(json.value, name, (value) => put(value, name))];
    case "pair":
      return pairInputs(json, name, put);
    case "list":
      return [listInput(json, typeOfValue(json.value?.[0], known), name, values, put)];
    case "text":
      return [textInput(json.value, name, (value) => put(value, name))];
    case "time":
      return [timeInput(json.value, name, "Time", put)];
    case "duration":
      return durationInputs(json.value, name, put);
    default:
      return scalarInput(json, known, name, values, put);
  }
}

function scalarInput(json, known, name, values, put) {
  const type = typeOfValue(json.value, known);
  if (type === "boolean") {
    const onchange = (event) => put(event.target.value === "true");
    return [select([["true", "true"], ["false", "false"]], String(json.value), { "data-field": name, "aria-label": "Value", onchange })];
  }
  const field =
    type === "number"
      ? numberInput(json.value, name, (value) => put(value, name))
      : suggestInput({
          value: json.value, label: "Value", placeholder: "value", name,
          ask: async (text) => (await values(text)).map(({ value, count }) => ({ value, count })),
          onpick: (value) => put(value, name),
          oncommit: (value) => put(value),
        });
  return known === type ? [field] : [field, typeSwitch(json, type, put)];
}

/** The text "5" and the number 5 are different values; where the data does not say which, the person does. */
function typeSwitch(json, type, put) {
  const isNumber = type === "number";
  const label = isNumber ? "A number; compare as text instead" : "Text; compare as a number instead";
  const turn = () => put(isNumber ? String(json.value ?? "") : asNumber(json.value));
  return h("button", { class: "btn btn-sm btn-ghost-secondary type-switch", type: "button", title: label, "aria-label": label, onclick: turn }, isNumber ? "123" : "Abc");
}

function numberInput(value, name, onvalue, label = "Value") {
  const input = h("input", {
    class: "form-control number", type: "number", step: "any", inputmode: "decimal",
    value: typeof value === "number" ? value : "", "data-field": name, "aria-label": label,
    oninput: () => onvalue(input.value === "" ? null : Number(input.value)),
  });
  return input;
}

function textInput(value, name, onvalue) {
  const input = h("input", {
    class: "form-control", type: "text", placeholder: "text",
    value: value ?? "", "data-field": name, "aria-label": "Text",
    oninput: () => onvalue(input.value),
  });
  return input;
}

function pairInputs(json, name, put) {
  const at = (index, label) =>
    numberInput(json.value?.[index], `${name}/${index}`, (next) => {
      const pair = [json.value?.[0] ?? null, json.value?.[1] ?? null];
      pair[index] = next;
      put(pair, `${name}/${index}`);
    }, label);
  return [at(0, "Lower bound"), word("and"), at(1, "Upper bound")];
}

function timeInput(value, name, label, put) {
  return h("input", {
    class: "form-control", type: "datetime-local",
    value: toLocalInput(value), "data-field": name, "aria-label": label,
    onchange: (event) => put(fromLocalInput(event.target.value), name),
  });
}

function durationInputs(value, name, put) {
  const parsed = parseDuration(value);
  if (!parsed && value) return [textInput(value, name, (next) => put(next, name))];
  const input = h("input", {
    class: "form-control number short", type: "number", min: 1, step: 1, inputmode: "numeric",
    value: parsed?.amount ?? "", "data-field": name, "aria-label": "How long",
  });
  const unit = select(UNITS, parsed?.unit ?? "d", { "data-field": `${name}/unit`, "aria-label": "Unit" });
  const text = () => (input.value === "" ? "" : `${Math.trunc(Number(input.value))}${unit.value}`);
  input.addEventListener("input", () => put(text(), name));
  unit.addEventListener("change", () => put(text(), name));
  return [input, unit];
}

function listInput(json, type, name, values, put) {
  const list = () => (Array.isArray(json.value) ? json.value : []);
  const add = (parts) => {
    const fresh = [...new Set(parts)].filter((part) => !list().includes(part));
    if (fresh.length) put([...list(), ...fresh]);
  };
  const read = (text) => text.split(",").map((part) => part.trim()).filter(Boolean)
    .map((part) => (type === "number" ? asNumber(part) ?? part : part));
  const chips = list().map((value) =>
    h("span", { class: "chip" }, String(value),
      h("button", {
        type: "button", class: "chip-remove", "aria-label": `Remove ${value}`,
        onclick: () => put(list().filter((other) => other !== value)),
      }, icon("x"))));
  const box = suggestInput({
    value: "", label: "Add a value", placeholder: chips.length ? "add" : "values", name,
    ask: async (text) =>
      (await values(text)).filter(({ value }) => !list().includes(value)).map(({ value, count }) => ({ value, count })),
    onpick: () => {},
    oncommit: (value) => add(typeof value === "string" ? read(value) : [value]),
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.defaultPrevented || !event.target.value) return;
    event.preventDefault();
    add(read(event.target.value));
  });
  return h("span", { class: "chips" }, chips, box);
}

// --- What they did --------------------------------------------------------------------------------------------

const namesOf = (json) => [json.event].flat();

function eventFields(json, context) {
  const undone = hasNotDone(json);
  const opening = [doneSelect(json, undone, context), ...eventNames(json, context)];
  const sentence = undone
    ? [line(...opening, ...windowFields(json, context))]
    : [line(...opening), line(...measureFields(json, context), ...windowFields(json, context))];
  return [...sentence, ...spanLine(json, context), ...whereLines(json, context)];
}

function doneSelect(json, undone, context) {
  const onchange = (event) => {
    const rest = without(json, "of", "span");
    const [op, value] = event.target.value === "not" ? ["eq", 0] : ["gte", 1];
    context.edit({ ...rest, measure: "count", op, value });
  };
  const options = [["done", "Has done"], ["not", "Has not done"]];
  return select(options, undone ? "not" : "done", { "aria-label": "Done or not done", "data-field": "done", onchange });
}

function eventNames(json, context) {
  const prefix = context.prefix ?? "";
  const names = namesOf(json);
  const renamed = (index, value) => {
    if (!Array.isArray(json.event)) return { ...json, event: value };
    return { ...json, event: json.event.map((old, place) => (place === index ? value : old)) };
  };
  const dropped = (index) => {
    const rest = namesOf(json).filter((_, place) => place !== index);
    return { ...json, event: rest.length === 1 ? rest[0] : rest };
  };
  const inputs = names.flatMap((name, index) => [
    index > 0 ? word("or") : null,
    suggestInput({
      value: name, label: "Event", placeholder: "choose an event", name: index ? `${prefix}event/${index}` : `${prefix}event`,
      ask: async (text) => matching(await context.dictionary.ask({ of: "events" }), text),
      onpick: (value) => context.edit(renamed(index, value), `${prefix}event/${index}`),
      oncommit: (value) => context.edit(renamed(index, value)),
    }),
    names.length > 1 ? iconButton("x", `Remove ${name || "this event"}`, () => context.edit(dropped(index))) : null,
  ]);
  const another = h("button", {
    type: "button", class: "btn btn-sm btn-ghost-secondary", "aria-label": "Or another event", title: "Or another event",
    onclick: () => context.edit({ ...json, event: [...namesOf(json), ""] }, null, `${prefix}event/${namesOf(json).length}`),
  }, "or…");
  return [...inputs, another];
}

function measureFields(json, context) {
  const measure = json.measure ?? "count";
  const onchange = (event) => {
    const next = event.target.value;
    const drop = [...(MEASURES_OF.includes(next) ? [] : ["of"]), ...(["count", "sum"].includes(next) ? [] : ["span"])];
    context.edit({ ...without(json, ...drop), measure: next });
  };
  const choice = select(MEASURES, measure, { "aria-label": "Measure", "data-field": "measure", onchange });
  const property = MEASURES_OF.includes(measure)
    ? suggestInput({
        value: json.of, label: "Property", placeholder: "choose a property", name: "of",
        ask: async (text) => matching(await propertiesFor(json, context), text),
        onpick: (value) => context.edit({ ...json, of: value }, "of"),
        oncommit: (value) => context.edit({ ...json, of: value }),
      })
    : null;
  const threshold =
    measure === "first" || measure === "last"
      ? comparison(json, {
          known: context.typeOf({ of: "properties", event: namesOf(json) }, json.of),
          values: (text) => valuesOf(json, json.of, context, text),
          set: context.edit,
          without: ["exists", "not_exists"],
        })
      : thresholdFields(json, context);
  return [word("where the"), choice, property, ...threshold];
}

function thresholdFields(json, context) {
  const onchange = (event) => {
    const op = event.target.value;
    context.edit({ ...json, op, value: emptyValue(op === "between" ? "pair" : "number", "number", json.value) });
  };
  const op = () => json.op ?? "gte"; // without an operator the definition means "at least once"
  const put = (value, key) => context.edit({ ...json, op: op(), value }, key);
  const operator = select(MEASURE_OPERATORS, op(), { "aria-label": "Operator", "data-field": "op", onchange });
  if (json.op === "between") return [operator, ...pairInputs(json, "value", put)];
  return [operator, numberInput(json.op ? json.value : 1, "value", (value) => put(value, "value"))];
}

/** Numbers first where the measure calculates. */
async function propertiesFor(json, context) {
  const entries = await context.dictionary.ask({ of: "properties", event: namesOf(json) });
  if (!["sum", "avg", "min", "max"].includes(json.measure)) return entries;
  const rank = (entry) => (entry.type === "number" ? 0 : 1);
  return [...entries].sort((one, other) => rank(one) - rank(other));
}

async function valuesOf(json, property, context, text) {
  if (!property) return [];
  return matching(await context.dictionary.ask({ of: "values", event: namesOf(json), property }), text);
}

function windowKind(window) {
  if (!window || Object.keys(window).length === 0) return "all";
  if ("last" in window) return "last";
  if ("calendar" in window) return window.calendar;
  if ("after" in window && "before" in window) return "between";
  return "after" in window ? "after" : "before";
}

function windowFields(json, context) {
  const kind = windowKind(json.window);
  const onchange = (event) => {
    const old = json.window ?? {};
    const next = event.target.value;
    if (next === "all") return context.edit(without(json, "window"));
    const window = {
      last: { last: old.last ?? "30d" },
      after: { after: old.after ?? "" },
      before: { before: old.before ?? "" },
      between: { after: old.after ?? "", before: old.before ?? "" },
    }[next] ?? { ...(old.tz && { tz: old.tz }), calendar: next };
    return context.edit({ ...json, window });
  };
  const putIn = (field) => (value, key) => context.edit({ ...json, window: { ...json.window, [field]: value } }, key);
  const time = (field, label) => timeInput(json.window[field], `window/${field}`, label, putIn(field));
  const inputs = {
    last: () => durationInputs(json.window.last, "window/last", putIn("last")),
    after: () => [time("after", "Since")],
    before: () => [time("before", "Before")],
    between: () => [time("after", "From"), word("and"), time("before", "Until")],
  }[kind];
  const choice = select(WINDOWS, kind, { "aria-label": "When", "data-field": "window", onchange });
  return [choice, ...(inputs ? inputs() : [])];
}

const SPANNED = (json) =>
  ["count", "sum"].includes(json.measure ?? "count") && ["gte", "gt"].includes(json.op ?? "gte") && !hasNotDone(json);

function spanLine(json, context) {
  if (json.span === undefined) {
    if (!SPANNED(json)) return [];
    const add = () => context.edit({ ...json, span: "1h" }, null, "span");
    const label = "all within some hour, day …";
    return [line(h("button", { type: "button", class: "btn btn-sm btn-ghost-secondary", onclick: add }, icon("arrows-horizontal"), label))];
  }
  return [
    line(
      word("all within some stretch of"),
      ...durationInputs(json.span, "span", (span, key) => context.edit({ ...json, span }, key)),
      iconButton("x", "Remove the stretch", () => context.edit(without(json, "span"))),
    ),
  ];
}

// --- What they did in order -----------------------------------------------------------------------------------

function sequenceFields(json, context) {
  const steps = json.steps.map((_, index) => stepLines(json, index, context));
  const another = h("button", {
    type: "button", class: "btn btn-sm btn-ghost-secondary add-step",
    onclick: () => context.edit({ ...json, steps: [...json.steps, { event: "" }] }, null, `steps/${json.steps.length}/event`),
  }, icon("plus"), "and then…");
  return [h("ol", { class: "sequence" }, steps), line(another)];
}

/** One step with fields of its own: it edits the sequence, and its fields are named by their place in it. */
function stepLines(json, index, context) {
  const prefix = `steps/${index}/`;
  const step = json.steps[index];
  const inStep = {
    ...context,
    prefix,
    edit: (next, key, focus) =>
      context.edit({ ...json, steps: json.steps.map((old, at) => (at === index ? next : old)) }, key && `${prefix}${key}`, focus),
  };
  const drop = () => context.edit({ ...json, steps: json.steps.filter((_old, at) => at !== index) });
  const remove = index && json.steps.length > 2 ? iconButton("trash", "Remove this step", drop) : null;
  const opening = index ? [stepSelect(step, prefix, inStep)] : [word("First did")];
  const rest = index ? [...withinFields(step, prefix, inStep), ...sameFields(step, json, prefix, inStep)] : windowFields(json, context);
  return h("li", { class: "step" }, h("div", {}, line(...opening, ...eventNames(step, inStep), ...rest), whereLines(step, inStep)), remove);
}

function stepSelect(step, prefix, context) {
  const onchange = (event) => {
    context.edit(event.target.value === "not" ? { ...step, absent: true } : without(step, "absent"));
  };
  const options = [["did", "then did"], ["not", "then did not"]];
  return select(options, step.absent ? "not" : "did", { "aria-label": "Then", "data-field": `${prefix}absent`, onchange });
}

function withinFields(step, prefix, context) {
  if (step.within === undefined) return [offer("within…", () => context.edit({ ...step, within: "1h" }, null, `${prefix}within`))];
  return [
    word("within"),
    ...durationInputs(step.within, `${prefix}within`, (within, key) => context.edit({ ...step, within }, key)),
    iconButton("x", "Remove the time limit", () => context.edit(without(step, "within"))),
  ];
}

/** A property that is equal in this step and in the one before, such as the cart. */
function sameFields(step, json, prefix, context) {
  if (step.same === undefined) return [offer("with the same…", () => context.edit({ ...step, same: "" }, null, `${prefix}same`))];
  const property = suggestInput({
    value: step.same, label: "The same", placeholder: "choose a property", name: `${prefix}same`,
    ask: async (text) => matching(await context.dictionary.ask({ of: "properties", event: json.steps.flatMap(namesOf) }), text),
    onpick: (same) => context.edit({ ...step, same }, `${prefix}same`),
    oncommit: (same) => context.edit({ ...step, same }),
  });
  return [word("with the same"), property, iconButton("x", "Remove what is the same", () => context.edit(without(step, "same")))];
}

const offer = (label, onclick) => h("button", { type: "button", class: "btn btn-sm btn-ghost-secondary", onclick }, label);

// --- Which other segment they are in ----------------------------------------------------------------------------

function segmentFields(json, context) {
  const name = suggestInput({
    value: json.segment, label: "Segment", placeholder: "choose a segment", name: "segment",
    ask: async (text) => matching(await context.dictionary.ask({ of: "segments" }), text),
    onpick: (segment) => context.edit({ ...json, segment }, "segment"),
    oncommit: (segment) => context.edit({ ...json, segment }),
  });
  return [line(word("Are in the segment"), name)];
}

function whereLines(json, context) {
  const place = context.prefix ?? "";
  const filters = () => json.where ?? [];
  const put = (list, key, focus) => context.edit(list.length ? { ...json, where: list } : without(json, "where"), key, focus);
  const lines = filters().map((_, index) => {
    const prefix = `${place}where/${index}/`;
    const filter = json.where[index];
    const set = (next, key) => put(filters().map((old, at) => (at === index ? next : old)), key);
    const property = suggestInput({
      value: filter.property, label: "Property", placeholder: "choose a property", name: `${prefix}property`,
      ask: async (text) => matching(await context.dictionary.ask({ of: "properties", event: namesOf(json) }), text),
      onpick: (value) => set({ ...filter, property: value }, `${prefix}property`),
      oncommit: (value, type) => set(suited({ ...filter, property: value }, type)),
    });
    const fields = comparison(filter, {
      known: context.typeOf({ of: "properties", event: namesOf(json) }, filter.property),
      values: (text) => valuesOf(json, filter.property, context, text),
      set, prefix,
    });
    const drop = iconButton("x", "Remove this filter", () => put(filters().filter((_old, at) => at !== index)));
    return h("div", { class: "phrase filter" }, word(index ? "and" : "only where"), property, ...fields, drop);
  });
  const add = h("button", {
    type: "button", class: "btn btn-sm btn-ghost-secondary add-filter",
    onclick: () => put([...filters(), { property: "", op: "eq", value: "" }], null, `${place}where/${filters().length}/property`),
  }, icon("filter-plus"), filters().length ? "and where…" : "only where…");
  return [...lines, h("div", { class: "phrase filter" }, add)];
}
