// Reviewing by keyboard and touch: the next pair is there before it is asked for, and an answer is sent behind it.
//
// An answer shows the next pair at once and goes to the server in the background, one after the other; when the
// server refuses it, a toast says why and leads back to the pair. Without this script the forms work by themselves.

import { showToast } from "../js/console.js";
import { drawWaterfalls } from "./waterfall.js";

const root = document.querySelector("[data-review]");
const place = document.getElementById("pair-place");
const KEEP_MS = 60_000;

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
const current = () => place?.querySelector("[data-pair]");
const idOf = (article) => article?.dataset.pair ?? "";

/* --- Talking to the server ---------------------------------------------------------------------------------- */

let sending = Promise.resolve();

function post(address, fields = {}) {
  const answer = sending.then(async () => {
    const response = await fetch(address, {
      method: "POST",
      headers: { Accept: "application/json", "X-CSRFToken": csrf() },
      body: new URLSearchParams(fields),
    });
    const body = await response.json().catch(() => ({ message: `The server answered ${response.status}. Try again.` }));
    return { ok: response.ok, ...body };
  });
  const safe = answer.catch(() => ({ ok: false, message: "The server cannot be reached. Your last answer is not saved." }));
  sending = safe;
  return safe;
}

async function fetchPair(address) {
  const response = await fetch(address, { headers: { "HX-Request": "true" } });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const holder = document.createElement("template");
  holder.innerHTML = await response.text();
  return holder.content.firstElementChild;
}

/* --- One at a time ------------------------------------------------------------------------------------------- */

let ahead = null; // {id, article: Promise} of the pair after the one that is shown
const behind = []; // addresses of pairs that were shown before, for "k"
const passed = new Set(); // pairs that were left with "j", so that they do not come straight back
const unsaved = new Set(); // pairs whose answer is on its way

function nextAddress() {
  const address = new URL(place.dataset.nextUrl + place.dataset.query, location.href);
  address.searchParams.set("fragment", "1");
  const besides = new Set([idOf(current()), ...unsaved, ...passed]);
  for (const id of [...besides].slice(0, 100)) if (id) address.searchParams.append("besides", id);
  return address;
}

function prefetch() {
  ahead = idOf(current()) ? fetchPair(nextAddress()) : null;
  ahead?.catch(() => {});
}

function show(article, { remember = true } = {}) {
  const before = current();
  if (remember && idOf(before)) behind.push(before.dataset.address);
  place.replaceChildren(article);
  htmx.process(article);
  drawWaterfalls();
  const address = article.dataset.address ?? place.dataset.nextUrl + place.dataset.query;
  history.replaceState(null, "", address);
  document.title = document.title.replace(/^[^·]*/, `${article.dataset.title} `);
  scrollTo({ top: 0 });
  prefetch();
}

async function advance() {
  try {
    const article = await (ahead ?? fetchPair(nextAddress()));
    show(article);
  } catch {
    showToast("The next pair could not be fetched. Try again.", "error");
  }
}

async function back() {
  const address = behind.pop();
  if (!address) return;
  const wanted = new URL(address, location.href);
  passed.delete(wanted.pathname.match(/(\d+)\/$/)?.[1]);
  wanted.searchParams.set("fragment", "1");
  show(await fetchPair(wanted), { remember: false });
}

function allowUndo(left) {
  const button = place?.querySelector('[data-key="u"]');
  if (button) button.disabled = !left;
}

/* --- Answers -------------------------------------------------------------------------------------------------- */

function toastWithUndo(said) {
  const toast = showToast(said, "success");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm toast-undo";
  button.textContent = "Undo";
  button.addEventListener("click", () => {
    toast.remove();
    undo();
  });
  toast.querySelector("[data-toast-text]").after(button);
}

async function decide(form, word) {
  const line = form.closest("[data-line]");
  const address = form.action;
  const left = current()?.dataset.address;
  const id = idOf(current());
  const answering = post(address, { decision: word });
  unsaved.add(id);
  if (line) leave(line);
  else await advance();
  const answer = await answering;
  unsaved.delete(id);
  if (answer.ok) {
    toastWithUndo(answer.said);
    allowUndo(answer.undo);
    return;
  }
  const toast = showToast(answer.message, "error");
  if (line) line.hidden = false;
  else if (left) {
    const link = document.createElement("a");
    link.href = left;
    link.textContent = "Show the pair";
    toast.querySelector("[data-toast-text]").append(" ", link);
  }
}

async function undo() {
  const answer = await post(root.dataset.undoUrl);
  if (!answer.ok) {
    showToast(answer.message, "error");
    return;
  }
  showToast(answer.said, "success");
  const line = document.querySelector(`[data-line="${answer.pair}"]`);
  if (line) {
    line.hidden = false;
    mark(line);
  } else if (place) {
    const address = new URL(`${answer.pair}/${place.dataset.query}`, new URL(place.dataset.nextUrl, location.href).href.replace(/next\/$/, ""));
    address.searchParams.set("fragment", "1");
    show(await fetchPair(address), { remember: false });
  } else location.reload();
  allowUndo(answer.undo);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.hasAttribute("data-decision") && event.submitter) {
    event.preventDefault();
    event.submitter.classList.remove("btn-loading");
    decide(form, event.submitter.value);
  } else if (form.hasAttribute("data-undo")) {
    event.preventDefault();
    event.submitter?.classList.remove("btn-loading");
    undo();
  }
});

/* --- The list -------------------------------------------------------------------------------------------------- */

const lines = () => [...document.querySelectorAll("[data-line]:not([hidden])")];
const marked = () => document.querySelector("[data-line].is-marked:not([hidden])");

function mark(line) {
  for (const other of document.querySelectorAll(".is-marked")) other.classList.remove("is-marked");
  if (!line) return;
  line.classList.add("is-marked");
  line.querySelector("a").focus({ preventScroll: true });
  line.scrollIntoView({ block: "nearest" });
}

function move(by) {
  const all = lines();
  const place = all.indexOf(marked());
  mark(all[Math.min(Math.max(place + by, 0), all.length - 1)]);
}

function leave(line) {
  const all = lines();
  const next = all[all.indexOf(line) + 1] ?? all[all.indexOf(line) - 1];
  line.hidden = true;
  mark(next);
}

/* --- Keys ------------------------------------------------------------------------------------------------------ */

function press(key) {
  const scope = root.dataset.review === "list" ? marked() : (current() ?? root);
  const button = scope?.querySelector(`[data-key="${key}"]`) ?? null;
  if (button && !button.disabled) button.click();
  return Boolean(button);
}

const KEYS = {
  "?": () => document.getElementById("keys").showModal(),
  j: () => {
    if (!place) return move(1);
    if (!idOf(current())) return undefined;
    passed.add(idOf(current()));
    return advance();
  },
  k: () => (place ? back() : move(-1)),
  u: () => press("u") || undo(),
  e: () => {
    const table = place?.querySelector("[data-table]");
    if (table) table.open = !table.open;
  },
  a: () => press("a"),
  r: () => press("r"),
  s: () => press("s"),
  m: () => press("m"),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

if (place) {
  prefetch();
  setInterval(() => {
    const article = current();
    if (!document.hidden && article?.querySelector("[data-decision]")) post(article.dataset.keepUrl);
  }, KEEP_MS);
}
