// A page to judge drafts at: what is answered is kept at once; everything is in reach of single keys.

import { Clock } from "./clock.js";
import * as marks from "./marks.js";
import { Queue } from "./queue.js";

const $ = (id) => document.getElementById(id);
const page = $("page");
const { study, account, csrf } = page.dataset;
const number = Number(page.dataset.page);
const questions = [...document.querySelectorAll("fieldset.question")];
const texts = [...document.querySelectorAll(".words")];
const KEYS = "radllama-review-keys";
const QUIET_MS = 700; // after the last letter, before a text is kept
const others = new BroadcastChannel(`radllama-review/${account}/${study}/${number}`);

const told = {
  state(state, count) {
    const kept = count === 1 ? "1 answer is kept in this browser" : `${count} answers are kept in this browser`;
    const words = { saved: "all saved", saving: "saving", parked: "another page has written; choose below",
      offline: `no connection: ${kept} and sent later`, "signed out": `signed out: ${kept}; ` }[state];
    $("saved").textContent = words;
    Object.assign($("saved").dataset, { state, count });
    $("saved").className = `badge ${{ saved: "done", saving: "" }[state] ?? "bad"}`;
    if (state === "signed out") {
      const link = document.createElement("a");
      Object.assign(link, { href: `/login?next=${location.pathname}`, textContent: "sign in" });
      $("saved").append(link);
    }
  },
  kept(item, held) {
    settle(item, held);
    others.postMessage({ ...item, ...held });
  },
  conflict(item, held) {
    const holder = texts.find((one) => one.dataset.question === item.question && Number(one.dataset.place) === item.place);
    // A click is the rater's latest word. A text may hold more than the rater sees in this tab.
    if (!holder) queue.settle(item, held.number);
    else if ((held.value ?? "") === (item.value ?? "")) { settle(item, held); queue.settle(item, null); }
    else offer(holder, item, held);
  },
  refused(item, message) {
    say(`Not kept: ${message}`);
  },
};
const queue = new Queue({ account, csrf, study, page: number, told });
const clock = new Clock($("time"), Number(page.dataset.seconds), (spell, seconds, leaving) =>
  queue.post(`/api/studies/${study}/pages/${number}/seconds`, { spell, seconds }, leaving));

marks.start((place, question, mark, value, base) => queue.put({ place, question, mark, value, base }));
for (const holder of texts) watch(holder);
for (const item of queue.pending) show(item.place, item.question, item.mark, item.value);
for (const question of questions) {
  question.addEventListener("change", () => { keep(question); question.classList.remove("missing"); count(); });
  question.addEventListener("focusin", () => attend(question));
  question.addEventListener("pointerenter", () => explain(question.dataset.question));
}
others.addEventListener("message", ({ data }) => {
  const holder = texts.find((one) => one.dataset.question === data.question && Number(one.dataset.place) === data.place);
  if (queue.isPending(data) || holder?.isDirty()) return; // then the server tells of a conflict, and the rater chooses
  settle(data, data);
  show(data.place, data.question, data.mark, data.value);
});
document.addEventListener("keydown", onKey);
$("next").addEventListener("click", next);
$("back")?.addEventListener("click", () => leave(`/studies/${study}/pages/${page.dataset.back}`));
$("skip").addEventListener("click", () => { $("skip-reason").value = ""; $("skip-dialog").showModal(); });
$("skip-dialog").addEventListener("close", skip);
$("pause").addEventListener("click", () => { clock.pause(true); $("pause-dialog").showModal(); });
$("pause-dialog").addEventListener("close", () => clock.pause(false));
$("help").addEventListener("click", () => $("help-dialog").showModal());
$("keys-on").checked = localStorage.getItem(KEYS) !== "off";
$("keys-on").addEventListener("change", () => localStorage.setItem(KEYS, $("keys-on").checked ? "on" : "off"));
count();
attend(questions.find((one) => !value(one)) ?? questions[0]);

function value(question) {
  return question.querySelector("input:checked")?.value;
}

function keep(question) {
  const { kind, place } = question.dataset;
  if (kind === "pair" || kind === "rank") {
    const holder = $("ranking");
    queue.put({ place: 0, question: question.dataset.question, value: ranks(), base: Number(holder.dataset.number) });
    return;
  }
  const chosen = value(question);
  queue.put({
    place: Number(place), question: question.dataset.question, value: kind === "scale" ? Number(chosen) : chosen,
    base: Number(question.dataset.number),
  });
}

function ranks() {
  const pair = document.querySelector("[data-kind=pair] input:checked");
  if (pair) {
    const [first, second] = pair.value.split(" ").map(Number);
    return { 1: first, 2: second };
  }
  const rows = [...document.querySelectorAll("[data-kind=rank]")].filter(value);
  return Object.fromEntries(rows.map((row) => [row.dataset.rankOf, Number(value(row))]));
}

// Remember the number of what holds now, so that the next answer says that it knows it.
function settle({ place, question, mark }, { number: held }) {
  const holder = mark ? marks.find(place, mark)
    : place === 0 ? $("ranking")
    : document.querySelector(`[data-question="${question}"][data-place="${place}"]`);
  if (holder) holder.dataset.number = held;
}

// Put an answer that was not given here, or not sent yet, on the page.
function show(place, question, mark, held) {
  if (mark) return marks.apply(place, mark, held, marks.find(place, mark)?.dataset.number ?? 0);
  if (place === 0) {
    const pair = document.querySelector(`[data-kind=pair] input[value="${held?.[1]} ${held?.[2]}"]`);
    if (pair) pair.checked = true;
    for (const [one, rank] of Object.entries(held ?? {})) {
      const input = document.querySelector(`[data-rank-of="${one}"] input[value="${rank}"]`);
      if (input) input.checked = true;
    }
    return count();
  }
  const holder = document.querySelector(`[data-question="${question}"][data-place="${place}"]`);
  const area = holder?.querySelector("textarea");
  if (area) {
    holder.fill(held ?? "");
    if (held) area.closest("details").open = true;
  } else {
    holder?.querySelectorAll("input").forEach((input) => { input.checked = input.value === String(held); });
  }
  return count();
}

function watch(holder) {
  const area = holder.querySelector("textarea");
  let timer = 0;
  let kept = area.value;
  const send = () => {
    clearTimeout(timer);
    if (area.value === kept) return;
    kept = area.value;
    const { place, question, number: base } = holder.dataset;
    queue.put({ place: Number(place), question, value: area.value.trim() || null, base: Number(base) });
  };
  Object.assign(holder, { send, isDirty: () => area.value !== kept, fill: (words) => { area.value = kept = words; } });
  area.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(send, QUIET_MS); });
  area.addEventListener("change", send);
  window.addEventListener("pagehide", send);
  holder.querySelector(".copy")?.addEventListener("click", () => {
    if (!area.value.trim()) area.value = document.querySelector(`.shown[data-shown="${holder.dataset.place}"]`).textContent;
    area.focus();
    send();
  });
}

// Two tabs have written different words: both stand there until the rater chooses.
function offer(holder, item, held) {
  const note = holder.querySelector(".other");
  const button = (words, act) => {
    const one = document.createElement("button");
    Object.assign(one, { type: "button", textContent: words });
    one.addEventListener("click", () => { note.hidden = true; act(); });
    return one;
  };
  note.replaceChildren(`Another page has written: “${held.value ?? ""}” `,
    button("Keep mine", () => { holder.dataset.number = held.number; queue.settle(item, held.number); }),
    button("Take that", () => {
      holder.dataset.number = held.number;
      queue.settle(item, null);
      show(item.place, item.question, "", held.value);
    }));
  note.hidden = false;
  note.closest("details").open = true;
}

function attend(question) {
  questions.forEach((one) => one.classList.toggle("at", one === question));
  if (question) explain(question.dataset.question);
}

function explain(name) {
  const meanings = [...document.querySelectorAll(".meaning")];
  if (!meanings.some((one) => one.dataset.of === name)) return;
  meanings.forEach((one) => { one.hidden = one.dataset.of !== name; });
}

function count() {
  const left = questions.filter((one) => "required" in one.dataset && !value(one)).length;
  $("left").textContent = left ? `${left} to go` : "";
}

function at() {
  return questions.find((one) => one.classList.contains("at")) ?? questions[0];
}

function go(question) {
  if (!question) return;
  attend(question);
  (question.querySelector("input:checked") ?? question.querySelector("input")).focus({ preventScroll: true });
  question.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  const typing = event.target.closest?.("textarea, input:not([type=radio]):not([type=checkbox]), select");
  if (typing || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (localStorage.getItem(KEYS) === "off") return;
  const here = at();
  const place = Number(here?.dataset.place) || Number(here?.dataset.rankOf) || 1;
  const key = event.key.toLowerCase();
  if (/^[1-9]$/.test(key)) {
    const input = here?.querySelectorAll("input")[Number(key) - 1];
    if (!input) return;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const following = questions[questions.indexOf(here) + 1];
    if (following) go(following);
    else $("next").focus();
  } else if (key === "j" || key === "k") go(questions[questions.indexOf(here) + (key === "j" ? 1 : -1)]);
  else if (key === "e") marks.open(place);
  else if (key === "c") comment(place);
  else if (key === "n") next();
  else if (key === "b") $("back")?.click();
  else if (key === "s") $("skip").click();
  else if (key === "p") $("pause").click();
  else if (key === "?") $("help").click();
  else return;
  event.preventDefault();
}

function comment(place) {
  const holder = texts.find((one) => Number(one.dataset.place) === place);
  if (!holder) return;
  holder.closest("details").open = true;
  holder.querySelector("textarea").focus();
}

async function next() {
  const missing = questions.filter((one) => "required" in one.dataset && !value(one));
  missing.forEach((one) => one.classList.add("missing"));
  if (missing.length) {
    say(missing.length === 1 ? "One answer is missing." : `${missing.length} answers are missing.`);
    return go(missing[0]);
  }
  return finish({ state: "done" });
}

function skip() {
  const chosen = $("skip-dialog").returnValue;
  if (!chosen) return undefined;
  const reason = chosen === "other" ? $("skip-reason").value.trim() : chosen;
  if (!reason) return say("A page is skipped with a reason.");
  return finish({ state: "skipped", reason });
}

async function finish(body) {
  texts.forEach((holder) => holder.send());
  await Promise.race([queue.drained(), new Promise((resolve) => setTimeout(resolve, 4000))]);
  if (queue.pending.length) return say("Not all answers have arrived yet; they are kept here. Try again in a moment.");
  await clock.say();
  const answer = await queue.post(`/api/studies/${study}/pages/${number}/state`, body);
  if (answer === null) return say("No connection; every answer is kept. Try again in a moment.");
  const told = await answer.json().catch(() => null);
  if (!answer.ok) return say(told?.error?.message ?? `The server answers ${answer.status}.`);
  return location.assign(told.next);
}

async function leave(path) {
  texts.forEach((holder) => holder.send());
  await Promise.race([queue.drained(), new Promise((resolve) => setTimeout(resolve, 2000))]);
  location.assign(path);
}

function say(text) {
  $("said").textContent = text;
  setTimeout(() => { if ($("said").textContent === text) $("said").textContent = ""; }, 6000);
}
