import { drawAll } from "../js/charts.js";
import { csrfToken, h, icon } from "./dom.js";

/** Names this page to the server, so that a newer question takes the place of an older one there too. */
export const ASKER = crypto.getRandomValues(new Uint32Array(4)).join("-");

const KEY = "segments.insight.open";
const SLOW_MS = 1_500;

const remembered = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? null;
  } catch {
    return null;
  }
};

/** The folded parts under the live count: each is asked for when it is open, one after the other, and again when the definition changes. */
export class Insight {
  #root;
  #parts;
  #definition = null;
  #abort = null;

  constructor(root) {
    this.#root = root;
    this.#parts = [...root.querySelectorAll("details[data-insight]")];
    const open = remembered();
    for (const part of this.#parts) {
      if (open) part.open = open.includes(part.dataset.insight);
      part.addEventListener("toggle", () => this.#toggled(part));
      part.querySelector("select")?.addEventListener("change", () => {
        delete part.dataset.shown;
        this.#askAll();
      });
    }
  }

  /** The definition is changing: nobody waits for what was asked about the old one. */
  forget() {
    this.#definition = null;
    this.#abort?.abort();
    for (const part of this.#parts) {
      delete part.dataset.shown;
      this.#bodyOf(part).classList.add("is-old");
    }
  }

  /** Ask about this definition, which was found to be good. */
  show(definition) {
    this.#definition = definition;
    this.#root.hidden = false;
    this.#askAll();
  }

  #toggled(part) {
    localStorage.setItem(KEY, JSON.stringify(this.#parts.filter((one) => one.open).map((one) => one.dataset.insight)));
    if (part.open && !part.dataset.shown) this.#askAll();
  }

  async #askAll() {
    if (!this.#definition) return;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    for (const part of this.#parts) {
      if (!part.open || part.dataset.shown) continue;
      await this.#ask(part, abort.signal);
      if (abort.signal.aborted) return;
    }
  }

  async #ask(part, signal) {
    const body = this.#bodyOf(part);
    const slow = setTimeout(() => body.replaceChildren(progress()), body.childElementCount ? SLOW_MS : 0);
    try {
      const response = await fetch(`${this.#root.dataset.insightUrl}${part.dataset.insight}/`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken(), "X-Asker": ASKER },
        body: JSON.stringify({
          definition: this.#definition,
          segment: this.#root.dataset.segment,
          trait: part.querySelector("select")?.value,
        }),
        signal,
      });
      if (!response.ok) throw new Error(`The server answered ${response.status}`);
      const made = document.createElement("template");
      made.innerHTML = await response.text();
      if (signal.aborted) return;
      body.replaceChildren(made.content);
      body.classList.remove("is-old");
      part.dataset.shown = "yes";
      drawAll(body);
    } catch (error) {
      if (error.name === "AbortError") return;
      body.replaceChildren(h("p", { class: "blank-small" }, "This cannot be had at the moment. Fold and unfold it to ask again."));
    } finally {
      clearTimeout(slow);
    }
  }

  #bodyOf(part) {
    return part.querySelector("[data-insight-body]");
  }
}

function progress() {
  return h("div", { class: "insight-wait", role: "status" }, icon("loader-2"), "Counting…");
}
