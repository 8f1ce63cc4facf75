import { csrfToken, h } from "./dom.js";
import { ASKER, Insight } from "./insight.js";
import { wholeNumber } from "./language.js";

const WAIT_MS = 300;

/** The panel beside the builder: exact count, sentence, how many each condition leaves, and a few of the people. */
export class Preview {
  #panel;
  #urls;
  #timer = null;
  #abort = null;
  #parts;
  #insight;

  /** `onanswer(error)` hears the server's verdict on a definition: {code, message, path}, or null when it is fine. */
  constructor(panel, { onanswer }) {
    this.#panel = panel;
    this.#urls = panel.dataset;
    this.onanswer = onanswer;
    this.#insight = new Insight(panel.querySelector("[data-insight-url]"));
    const part = (name) => panel.querySelector(`[data-part="${name}"]`);
    this.#parts = Object.fromEntries(["count", "unit", "note", "sentence", "hint", "funnel", "sample"].map((name) => [name, part(name)]));
  }

  /** Show what this definition finds, once the typing pauses; `hint` says what is missing where there is no use in asking. */
  update(definition, hint = null) {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#panel.classList.add("is-stale");
    this.#insight.forget();
    if (hint) {
      this.#showHint([hint]);
      this.#panel.dataset.state = "waiting";
      return;
    }
    this.#panel.dataset.state = "counting";
    this.#timer = setTimeout(() => this.#ask(definition), WAIT_MS);
  }

  async #ask(definition) {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      const answer = await this.#post(this.#urls.previewUrl, definition, abort.signal);
      this.onanswer(answer.problem ?? null);
      if (answer.problem) {
        this.#refused(answer.problem);
        return;
      }
      this.#show(answer);
      const funnel = await this.#post(this.#urls.funnelUrl, definition, abort.signal);
      this.#showFunnel(funnel.steps ?? []);
      this.#insight.show(definition);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#showHint(["The count cannot be had at the moment. It is asked for again with the next change."], true);
      this.#panel.dataset.state = "failed";
    }
  }

  async #post(url, definition, signal) {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken(), "X-Asker": ASKER },
      body: JSON.stringify({ definition }),
      signal,
    });
    if (!response.ok) throw new Error(`The server answered ${response.status}`);
    return response.json();
  }

  #refused(problem) {
    this.#showHint([problem.message], true);
    this.#panel.dataset.state = "refused";
  }

  #show({ count, total, sentence, took_ms: tookMs, sample, warnings }) {
    this.#panel.classList.remove("is-stale");
    this.#panel.dataset.state = "counted";
    const share = total ? new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 }).format(count / total) : "0%";
    const unit = count === 1 ? "person matches" : "people match";
    for (const part of [this.#parts.count, ...document.querySelectorAll("[data-count-copy]")]) part.textContent = wholeNumber(count);
    for (const part of [this.#parts.unit, ...document.querySelectorAll("[data-unit-copy]")]) part.textContent = unit;
    this.#parts.note.textContent = `${share} of ${wholeNumber(total)} profiles · counted in ${wholeNumber(tookMs)} ms`;
    this.#parts.sentence.textContent = sentence;
    this.#parts.sentence.hidden = !sentence;
    this.#showHint(warnings);
    this.#parts.sample.replaceChildren(...sample.map(person));
    this.#parts.sample.parentElement.hidden = sample.length === 0;
  }

  #showHint(lines, isError = false) {
    this.#parts.hint.replaceChildren(...lines.map((text) => h("div", {}, text)));
    this.#parts.hint.hidden = lines.length === 0;
    this.#parts.hint.classList.toggle("is-error", isError);
  }

  #showFunnel(steps) {
    const most = Math.max(1, ...steps.map((step) => step.count));
    const rows = steps.map((step) => {
      const fill = h("div", { class: "funnel-fill" });
      fill.style.width = `${(100 * step.count) / most}%`;
      return h("li", {},
        h("div", { class: "funnel-text" }, h("span", {}, step.label), h("strong", {}, wholeNumber(step.count))),
        h("div", { class: "funnel-bar", "aria-hidden": "true" }, fill));
    });
    this.#parts.funnel.replaceChildren(...rows);
    this.#parts.funnel.parentElement.hidden = rows.length < 2;
  }
}

function initials(name) {
  const words = name.split(/\s+/).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const ends = words.length > 1 ? [words[0], words.at(-1)] : words;
  return ends.map((word) => word[0]).join("").toUpperCase() || "?";
}

function person({ id, url, name, detail }) {
  const face = h("span", { class: `face face-sm tint-${id % 6}`, "aria-hidden": "true" }, initials(name));
  const text = h("span", { class: "person-text" },
    h("span", { class: "person-name" }, name),
    detail ? h("span", { class: "person-detail" }, detail) : null);
  return h("li", {}, h("a", { class: "person", href: url, target: "_blank", rel: "noopener" }, face, text));
}
