import { h, icon } from "./dom.js";
import { shortNumber } from "./language.js";

/** Suggestions from the data dictionary, remembered for as long as the page is open. */
export class Dictionary {
  #url;
  #asked = new Map();
  #answers = new Map();

  constructor(url) {
    this.#url = url;
  }

  /** `question` is {of: "events" | "properties" | "traits" | "account_traits" | "values" …, event?, property?, trait?}. */
  ask(question) {
    const key = keyOf(question);
    if (!this.#asked.has(key)) this.#asked.set(key, this.#answer(key));
    return this.#asked.get(key);
  }

  /** What has been answered already, or undefined. */
  known(question) {
    return this.#answers.get(keyOf(question));
  }

  async #answer(key) {
    try {
      const answer = await this.#fetch(key);
      this.#answers.set(key, answer);
      return answer;
    } catch {
      this.#asked.delete(key); // asked again with the next key stroke
      return [];
    }
  }

  async #fetch(query) {
    const response = await fetch(`${this.#url}?${query}`, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(`suggestions: ${response.status}`);
    return (await response.json()).results;
  }
}

function keyOf(question) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(question)) {
    for (const item of [value].flat()) if (item) query.append(name, item);
  }
  return query.toString();
}

let lists = 0;

/**
 * A combobox (WAI-ARIA pattern): type freely or choose from what the data holds, most frequent first.
 * `ask(text)` promises [{value, type, count}]; `onpick(value, type)` hears every change.
 */
export function suggestInput({ value, label, placeholder, name, ask, onpick, oncommit }) {
  const listId = `suggestions-${(lists += 1)}`;
  const list = h("ul", { class: "suggestions dropdown-menu", id: listId, role: "listbox", "aria-label": `${label}: suggestions` });
  const input = h("input", {
    class: "form-control",
    type: "text",
    value: value ?? "",
    placeholder,
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "data-field": name,
    "aria-label": label,
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-autocomplete": "list",
  });
  const box = h("span", { class: "suggest" }, input, h("span", { class: "suggest-arrow" }, icon("chevron-down")), list);
  let entries = [];
  let active = -1;
  let turn = 0;

  const fit = () => input.setAttribute("size", String(Math.max(6, (input.value || placeholder || "").length)));
  const isOpen = () => list.classList.contains("show");

  function close() {
    delete input.dataset.opening;
    list.classList.remove("show");
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function mark(index) {
    active = index;
    [...list.children].forEach((item, place) => {
      item.classList.toggle("active", place === index);
      item.setAttribute("aria-selected", String(place === index));
    });
    const item = list.children[index];
    if (!item) return;
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  function choose(entry) {
    input.value = entry.value;
    fit();
    close();
    onpick(entry.value, entry.type);
    oncommit?.(entry.value, entry.type);
  }

  function show() {
    const rows = entries.map((entry, index) =>
      h(
        "li",
        {
          class: "dropdown-item",
          id: `${listId}-${index}`,
          role: "option",
          onmousedown: (event) => {
            event.preventDefault();
            choose(entry);
          },
        },
        h("span", { class: "suggestion-text" }, String(entry.value)),
        h("span", { class: "suggestion-note" }, [entry.type, entry.count && shortNumber(entry.count)].filter(Boolean).join(" · ")),
      ),
    );
    list.replaceChildren(...rows);
    list.classList.toggle("show", rows.length > 0);
    input.setAttribute("aria-expanded", String(rows.length > 0));
    active = -1;
    list.style.left = "0";
    const beyond = list.getBoundingClientRect().right + 8 - document.documentElement.clientWidth;
    if (beyond > 0) list.style.left = `${-beyond}px`;
  }

  async function open(text) {
    const mine = (turn += 1);
    input.dataset.opening = "yes";
    const found = await ask(text);
    if (mine !== turn || document.activeElement !== input) return;
    entries = found;
    show();
  }

  fit();
  input.addEventListener("focus", () => {
    if (input.dataset.quiet) return;
    input.select();
    open("");
  });
  input.addEventListener("click", () => isOpen() || open(""));
  input.addEventListener("input", () => {
    fit();
    const exact = entries.find((entry) => String(entry.value) === input.value);
    onpick(input.value, exact?.type);
    open(input.value);
  });
  input.addEventListener("blur", () => {
    turn += 1;
    if (!input.isConnected) return;
    close();
    const exact = entries.find((entry) => String(entry.value) === input.value);
    oncommit?.(input.value, exact?.type);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (event.altKey) return;
      event.preventDefault();
      if (!isOpen()) open("");
      else mark((active + (event.key === "ArrowDown" ? 1 : -1) + entries.length) % entries.length);
    } else if (event.key === "Enter" && isOpen() && active >= 0) {
      event.preventDefault();
      choose(entries[active]);
    } else if (event.key === "Escape" && isOpen()) {
      event.stopPropagation();
      close();
    }
  });
  return box;
}

/** Suggestions that contain the text, those that begin with it first. */
export function matching(entries, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return entries;
  const hits = entries.filter((entry) => String(entry.value).toLowerCase().includes(wanted));
  const rank = (entry) => (String(entry.value).toLowerCase().startsWith(wanted) ? 0 : 1);
  return hits.sort((one, other) => rank(one) - rank(other));
}
