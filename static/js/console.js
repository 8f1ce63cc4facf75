// The console's small behaviours, all by data attributes, all working for content that htmx brings in later.
"use strict";

const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/* --- Tabs: on a narrow screen the one that is open would stand past the edge ------------------------------ */

for (const tab of document.querySelectorAll('.tabs > [aria-current="page"]')) {
  const tabs = tab.parentElement;
  tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.clientWidth) / 2;
}

/* --- Toasts: server messages, and the "toast" event that a fragment's HX-Trigger header sends ------------- */

const TOAST_MS = 7000;

function expire(toast) {
  let timer = setTimeout(() => toast.remove(), TOAST_MS);
  for (const [hold, release] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) {
    toast.addEventListener(hold, () => clearTimeout(timer));
    toast.addEventListener(release, () => {
      timer = setTimeout(() => toast.remove(), TOAST_MS / 2);
    });
  }
}

export function showToast(message, level = "info") {
  const template = document.getElementById("toast-template");
  const toast = template.content.firstElementChild.cloneNode(true);
  toast.classList.add(`notice-${level}`);
  toast.querySelector("[data-toast-text]").textContent = message;
  document.getElementById("toasts").append(toast);
  expire(toast);
  return toast;
}

document.addEventListener("toast", (event) => showToast(event.detail.message, event.detail.level));
document.querySelectorAll("#toasts > .notice:not(.notice-error)").forEach(expire);

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  showToast(status === 403 ? "Your roles do not allow that." : `The server answered ${status}. Try again.`, "error");
});

let offline = false;
document.addEventListener("htmx:sendError", () => {
  if (!offline) showToast("The server cannot be reached. This page goes on trying.", "error");
  offline = true;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) offline = false;
});

/* --- Live parts: what polls stands still while nobody looks ------------------------------------------------ */

document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  const polled = requestConfig.triggeringEvent === undefined || requestConfig.triggeringEvent === null;
  if (polled && elt.hasAttribute("data-live") && document.hidden) event.preventDefault();
});

/* --- Clicks ------------------------------------------------------------------------------------------------- */

async function copy(button) {
  const target = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  await navigator.clipboard.writeText(target ? target.textContent : button.dataset.copy);
  const label = button.querySelector("[data-copy-label]");
  const before = label.textContent;
  label.textContent = "Copied";
  button.classList.add("is-copied");
  setTimeout(() => {
    label.textContent = before;
    button.classList.remove("is-copied");
  }, 1600);
}

function selectTab(tab) {
  const list = tab.closest('[role="tablist"]');
  for (const other of list.querySelectorAll('[role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.classList.toggle("active", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

document.addEventListener("click", (event) => {
  const copying = closest(event, "[data-copy], [data-copy-from]");
  if (copying) copy(copying).catch(() => showToast("The browser refused to copy. Select the text instead.", "error"));

  const opener = closest(event, "[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog).showModal();

  const closer = closest(event, "[data-dialog-close]");
  if (closer) closer.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement) event.target.close();

  const dismissed = closest(event, "[data-toast-close]");
  if (dismissed) dismissed.closest(".notice").remove();

  const theme = closest(event, "[data-theme-set]");
  if (theme) document.dispatchEvent(new CustomEvent("theme:choose", { detail: theme.dataset.themeSet }));

  const tab = closest(event, '[role="tab"][aria-controls]');
  if (tab) selectTab(tab);
});

document.addEventListener("keydown", (event) => {
  const tab = closest(event, '[role="tab"][aria-controls]');
  if (!tab || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  const next = tabs[(tabs.indexOf(tab) + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
  next.focus();
  selectTab(next);
});

/* --- Theme menu shows what is chosen ------------------------------------------------------------------------ */

function markTheme() {
  const choice = document.documentElement.dataset.themeChoice;
  for (const button of document.querySelectorAll("[data-theme-set]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeSet === choice));
  }
}
document.addEventListener("theme:changed", markTheme);
markTheme();

/* --- Forms: a submitted form says that it works, and a slug follows the name until somebody edits it --------- */

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && !event.target.hasAttribute("hx-post")) button.classList.add("btn-loading");
});
addEventListener("pageshow", () => {
  document.querySelectorAll(".btn-loading").forEach((button) => button.classList.remove("btn-loading"));
});

const slugOf = (text) =>
  text
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");

document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.dataset.slugFor) {
    const slug = document.getElementById(field.dataset.slugFor);
    if (!slug.dataset.edited) slug.value = slugOf(field.value).slice(0, slug.maxLength > 0 ? slug.maxLength : 60);
  }
  if (field.hasAttribute("data-slug")) field.dataset.edited = field.value ? "yes" : "";
});

/* --- A page that answered a POST takes the address it belongs to, so that a reload asks for it afresh ---------- */

const settled = document.querySelector("[data-address]");
if (settled) history.replaceState(null, "", settled.dataset.address);

/* --- Search: "/" goes there, arrows move through the answers, Escape leaves ---------------------------------- */

const search = document.getElementById("search");

if (search) {
  const panel = document.getElementById("search-results");
  const answers = () => [...panel.querySelectorAll("a")];
  const hide = () => {
    htmx.trigger(search, "htmx:abort");
    panel.replaceChildren();
  };

  document.addEventListener("keydown", (event) => {
    const typing = closest(event, "input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });

  search.form.addEventListener("keydown", (event) => {
    const links = answers();
    const place = links.indexOf(document.activeElement);
    if (event.key === "Escape") {
      hide();
      search.focus();
    } else if (event.key === "ArrowDown" && links.length) {
      event.preventDefault();
      links[Math.min(place + 1, links.length - 1)].focus();
    } else if (event.key === "ArrowUp" && place >= 0) {
      event.preventDefault();
      (place === 0 ? search : links[place - 1]).focus();
    }
  });
  search.form.addEventListener("focusout", (event) => {
    if (!search.form.contains(event.relatedTarget)) setTimeout(hide, 150); // after a click on an answer has landed
  });
  search.addEventListener("input", () => {
    if (!search.value.trim()) hide();
  });
}
