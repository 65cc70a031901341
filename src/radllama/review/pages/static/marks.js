// Errors marked in a draft: where (from word to word, or nowhere: it is missing), of which kind, how grave.

import { name } from "./queue.js";

const $ = (id) => document.getElementById(id);
const dialog = $("error-dialog");
let words = []; // [start, end] of each word, in characters
let from = null;
let to = null;
let place = 0;
let save = null;

// `keep(place, question, mark, value, base)` keeps a mark; the value null takes it back.
export function start(keeper) {
  save = keeper;
  if (!dialog) return;
  $("error-add").addEventListener("click", add);
  $("error-cancel").addEventListener("click", () => dialog.close());
  $("error-nowhere").addEventListener("change", () => { from = to = null; paint(); });
  dialog.addEventListener("keydown", onKey);
  for (const part of document.querySelectorAll(".errors")) {
    part.querySelector(".add-error").addEventListener("click", () => open(Number(part.dataset.place)));
    part.querySelectorAll(".marks li").forEach(dress);
    highlight(Number(part.dataset.place));
  }
}

export function open(draft) {
  if (!dialog) return;
  place = draft;
  from = to = null;
  dialog.querySelector("form").reset();
  $("error-problem").hidden = true;
  const text = shown(place).textContent;
  words = [...text.matchAll(/\S+/g)].map((found) => [count(text, found.index), count(text, found.index + found[0].length)]);
  const letters = [...text];
  const parts = [];
  let at = 0;
  words.forEach(([start, end], number) => {
    parts.push(document.createTextNode(letters.slice(at, start).join("")));
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: letters.slice(start, end).join(""), tabIndex: number ? -1 : 0 });
    button.addEventListener("click", () => choose(number));
    parts.push(button);
    at = end;
  });
  $("error-words").replaceChildren(...parts);
  paint();
  dialog.showModal();
  ($("error-words").querySelector("button") ?? $("error-nowhere")).focus();
}

// What another tab has marked, or taken back.
export function apply(draft, mark, value, number) {
  const list = document.querySelector(`.errors[data-place="${draft}"] .marks`);
  let item = [...list.children].find((one) => one.dataset.mark === mark);
  if (value === null) item?.remove();
  else {
    if (!item) list.append(item = document.createElement("li"));
    Object.assign(item.dataset, { mark, number, kind: value.kind, significance: value.significance, start: value.start ?? "", end: value.end ?? "" });
    dress(item);
  }
  highlight(draft);
}

export function find(draft, mark) {
  return [...document.querySelectorAll(`.errors[data-place="${draft}"] .marks li`)].find((one) => one.dataset.mark === mark);
}

function choose(number) {
  $("error-nowhere").checked = false;
  if (from === null || to !== null) [from, to] = [number, null];
  else [from, to] = [Math.min(from, number), Math.max(from, number)];
  paint();
}

function paint() {
  [...$("error-words").querySelectorAll("button")].forEach((button, number) => {
    button.setAttribute("aria-pressed", from !== null && number >= from && number <= (to ?? from));
  });
}

function onKey(event) {
  const buttons = [...$("error-words").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (at >= 0 && step) {
    event.preventDefault();
    const next = Math.max(0, Math.min(buttons.length - 1, at + step));
    buttons.forEach((button, number) => { button.tabIndex = number === next ? 0 : -1; });
    buttons[next].focus();
  } else if (/^\d$/.test(event.key)) {
    const kinds = dialog.querySelectorAll("[name=error-kind]");
    const kind = kinds[event.key === "0" ? 9 : Number(event.key) - 1];
    if (kind) { kind.checked = true; kind.focus(); }
  }
}

function add() {
  const kind = dialog.querySelector("[name=error-kind]:checked")?.value;
  const significance = dialog.querySelector("[name=error-significance]:checked")?.value;
  const nowhere = $("error-nowhere").checked;
  const lacks = [!nowhere && from === null && "the words, or that it is missing", !kind && "the kind", !significance && "the significance"];
  if (lacks.some(Boolean)) {
    $("error-problem").textContent = `Still to be said: ${lacks.filter(Boolean).join("; ")}.`;
    $("error-problem").hidden = false;
    return;
  }
  const [start, end] = nowhere ? [null, null] : [words[from][0], words[to ?? from][1]];
  const value = { kind, significance, start, end };
  const mark = name();
  apply(place, mark, value, 0);
  keep(place, mark, value, 0);
  dialog.close();
  document.querySelector(`.errors[data-place="${place}"] .add-error`).focus();
}

function keep(draft, mark, value, base) {
  save(draft, document.querySelector(`.errors[data-place="${draft}"]`).dataset.question, mark, value, base);
}

function dress(item) {
  const draft = Number(item.closest(".errors").dataset.place);
  const { start, end, kind, significance } = item.dataset;
  const words = document.createElement("span");
  const quoted = start === "" ? "" : `“${[...shown(draft).textContent].slice(Number(start), Number(end)).join("")}” `;
  words.textContent = `${quoted}${label("error-kind", kind)} (${significance.replaceAll("_", " ")})`;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: "Remove" });
  button.setAttribute("aria-label", `Remove: ${words.textContent}`);
  button.addEventListener("click", () => {
    const { mark, number } = item.dataset;
    item.remove();
    highlight(draft);
    keep(draft, mark, null, Number(number));
    document.querySelector(`.errors[data-place="${draft}"] .add-error`).focus();
  });
  item.replaceChildren(words, button);
}

function highlight(draft) {
  const element = shown(draft);
  const letters = [...element.textContent];
  const marked = new Array(letters.length).fill(false);
  for (const item of document.querySelectorAll(`.errors[data-place="${draft}"] .marks li`)) {
    if (item.dataset.start !== "") marked.fill(true, Number(item.dataset.start), Number(item.dataset.end));
  }
  const parts = [];
  for (let at = 0; at < letters.length; ) {
    let end = at;
    while (end < letters.length && marked[end] === marked[at]) end += 1;
    const text = letters.slice(at, end).join("");
    const node = marked[at] ? document.createElement("mark") : document.createTextNode(text);
    if (marked[at]) node.textContent = text;
    parts.push(node);
    at = end;
  }
  element.replaceChildren(...parts);
}

function label(group, value) {
  const input = [...dialog.querySelectorAll(`[name=${group}]`)].find((one) => one.value === value);
  return input ? [...input.parentElement.childNodes].at(-1).textContent.trim() : value;
}

function shown(draft) {
  return document.querySelector(`.shown[data-shown="${draft}"]`);
}

// Characters as the server counts them: one for each code point.
function count(text, end) {
  return [...text.slice(0, end)].length;
}
