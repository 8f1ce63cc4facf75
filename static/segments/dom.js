/** Elements without strings of HTML: `h("button", {class: "btn", onclick: f}, "Save")`. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
const PROPERTIES = { value: 1, checked: 1, disabled: 1, textContent: 1, selected: 1, hidden: 1 };

export const icon = (name) => h("i", { class: `ti ti-${name}`, "aria-hidden": "true" });

/** A select that shows what is chosen even where that is none of the options. */
export function select(options, value, props) {
  const offered = options.some(([name]) => name === value) ? options : [...options, [value, String(value)]];
  const items = offered.map(([name, label]) => h("option", { value: name, selected: name === value }, label));
  return h("select", { class: "form-select", ...props }, items);
}

export function readJson(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

export const csrfToken = () => document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
