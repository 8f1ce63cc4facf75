/** The words of a definition: what each operator, measure and window is called, and which input its value needs. */

/** What an operator's value looks like: nothing, one of any type, a number, text, a list, a pair, a time, a duration. */
export const SHAPES = {
  eq: "any", neq: "any", in: "list", not_in: "list",
  gt: "number", gte: "number", lt: "number", lte: "number", between: "pair",
  contains: "text", not_contains: "text", starts_with: "text", ends_with: "text",
  exists: "none", not_exists: "none", is_true: "none", is_false: "none",
  before: "time", after: "time", within_last: "duration", within_next: "duration", anniversary_within: "duration",
};

const LABELS = {
  eq: "is", neq: "is not", in: "is one of", not_in: "is none of",
  gt: "is more than", gte: "is at least", lt: "is less than", lte: "is at most", between: "is between",
  contains: "contains", not_contains: "does not contain", starts_with: "starts with", ends_with: "ends with",
  exists: "is known", not_exists: "is not known", is_true: "is true", is_false: "is false",
  before: "is before", after: "is after", within_last: "was in the last", within_next: "is in the next",
  anniversary_within: "has its anniversary in the next",
};

const OPERATORS = {
  number: ["eq", "neq", "gt", "gte", "lt", "lte", "between", "in", "not_in", "exists", "not_exists"],
  boolean: ["is_true", "is_false", "exists", "not_exists"],
  string: [
    "eq", "neq", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with", "exists", "not_exists",
    "before", "after", "within_last", "within_next", "anniversary_within",
  ],
  unknown: Object.keys(SHAPES),
};

/** The operators that suit a type, and in any case the one that is used already. */
export function operatorsFor(type, current) {
  const suited = OPERATORS[type] ?? OPERATORS.unknown;
  const names = suited.includes(current) || !current ? suited : [...suited, current];
  return names.map((name) => [name, LABELS[name] ?? name]);
}

export const MEASURES = [
  ["count", "number of times"],
  ["days", "number of different days"],
  ["sum", "total of"],
  ["avg", "average of"],
  ["min", "smallest"],
  ["max", "largest"],
  ["distinct", "number of different"],
  ["first", "first"],
  ["last", "latest"],
];
/** Measures that look at a property. */
export const MEASURES_OF = ["sum", "avg", "min", "max", "distinct", "first", "last"];

export const MEASURE_OPERATORS = [
  ["gte", "is at least"], ["gt", "is more than"], ["eq", "is exactly"], ["neq", "is not"],
  ["lte", "is at most"], ["lt", "is less than"], ["between", "is between"],
];

export const UNITS = [["s", "seconds"], ["m", "minutes"], ["h", "hours"], ["d", "days"], ["w", "weeks"]];

export const WINDOWS = [
  ["last", "in the last"],
  ["all", "at any time"],
  ["after", "since"],
  ["before", "before"],
  ["between", "between"],
  ["today", "today"],
  ["yesterday", "yesterday"],
  ["this_week", "this week"],
  ["last_week", "last week"],
  ["this_month", "this month"],
  ["last_month", "last month"],
];

export function parseDuration(text) {
  const match = /^(\d+)([smhdw])$/.exec(text ?? "");
  return match && { amount: Number(match[1]), unit: match[2] };
}

export const hasNotDone = (json) =>
  (json.measure ?? "count") === "count" && json.op === "eq" && json.value === 0;

/** What a value is, for the choice of an input: the type known from the data unless the value says otherwise. */
export function typeOfValue(value, known) {
  if (typeof value === "number") return "number";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "string" && value !== "") return "string";
  return known === "number" || known === "boolean" ? known : "string";
}

/** The number that a text spells, or null. */
export const asNumber = (text) =>
  text === "" || text === null || text === undefined || Number.isNaN(Number(text)) ? null : Number(text);

/** A sensible value where the operator has just become one of another shape. */
export function emptyValue(shape, type, old) {
  const single = Array.isArray(old) ? old[0] : old;
  const number = typeof single === "number" ? single : null;
  switch (shape) {
    case "none":
      return undefined;
    case "list":
      return single === null || single === undefined || single === "" ? [] : [single];
    case "number":
      return number;
    case "pair":
      return [number, null];
    case "duration":
      return parseDuration(single) ? single : "30d";
    case "time":
      return typeof single === "string" && /^\d{4}-/.test(single) ? single : "";
    case "text":
      return typeof single === "string" ? single : "";
    default:
      return type === "number" ? number : (single ?? "");
  }
}

/** How a person's consent can stand. */
export const STANDINGS = [
  ["granted", "have agreed to"],
  ["denied", "have refused"],
  ["unknown", "have no choice that stands about"],
];

/** What is still to be filled in: the fields of a condition that have no value yet. */
export function gaps(json) {
  if (json?.type === "consent") return json.purpose ? [] : ["purpose"];
  if (json?.type === "trait" || json?.type === "account") return [...(json.trait ? [] : ["trait"]), ...valueGap(json)];
  if (json?.type === "segment") return json.segment ? [] : ["segment"];
  if (json?.type === "sequence") return [...stepGaps(json.steps ?? []), ...windowGaps(json)];
  if (json?.type !== "event") return [];
  const of = MEASURES_OF.includes(json.measure) && !json.of ? ["of"] : [];
  const span = json.span === "" ? ["span"] : [];
  return [...streamGaps(json), ...of, ...valueGap(json), ...span, ...windowGaps(json)];
}

function stepGaps(steps) {
  return steps.flatMap((step, index) => {
    const open = ["within", "same"].filter((name) => step[name] === "");
    return [...streamGaps(step), ...open].map((name) => `steps/${index}/${name}`);
  });
}

/** What is missing of the events that are meant, and of their filters. */
function streamGaps(json) {
  const names = Array.isArray(json.event) ? json.event : [json.event];
  const found = names.length === 0 || names.some((name) => !name) ? ["event"] : [];
  for (const [index, filter] of (json.where ?? []).entries()) {
    if (!filter.property) found.push(`where/${index}/property`);
    found.push(...valueGap(filter).map((name) => `where/${index}/${name}`));
  }
  return found;
}

function windowGaps(json) {
  const window = json.window ?? {};
  return ["after", "before"].filter((name) => name in window && !window[name]).map((name) => `window/${name}`);
}

function valueGap(json) {
  if (json.op === undefined || SHAPES[json.op] === "none") return [];
  const value = json.value;
  if (Array.isArray(value)) return value.length === 0 || value.includes(null) ? ["value"] : [];
  return value === null || value === undefined || value === "" ? ["value"] : [];
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const full = new Intl.NumberFormat("en");
export const shortNumber = (value) => compact.format(value);
export const wholeNumber = (value) => full.format(value);

/** An instant as the value of a datetime-local input, and back; both in the browser's time zone. */
export function toLocalInput(iso) {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 16);
}
export const fromLocalInput = (text) => (text ? new Date(text).toISOString().replace(".000Z", "Z") : "");
