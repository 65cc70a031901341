// The page that a radiologist drafts at.

import { say, send, signOut, stream, whoAmI } from "./api.js";
import { show } from "./spans.js";

const $ = (id) => document.getElementById(id);
const NEIGHBOURS = 5;
let able = new Set();
let current = null; // the answer that is on the page
let choice = 0; // which of its drafts: 0, or an alternative
let decided = false;
let since = 0; // when the draft could be read, for how long the verdict took
let asking = null;
let person = null; // who is signed in; else a name is given
let turns = []; // of the conversation with a chat model: its drafts, and what was said to them

$("sign-out").addEventListener("click", () => signOut().catch((error) => say(error.message)));
$("person").value = localStorage.getItem("radllama-person") ?? "";
$("person").addEventListener("change", () => localStorage.setItem("radllama-person", $("person").value.trim()));
$("ask").addEventListener("submit", (event) => { event.preventDefault(); draft(); });
$("follow").addEventListener("submit", (event) => { event.preventDefault(); follow(); });
$("again").addEventListener("click", back);
$("accept").addEventListener("click", accept);
$("edit").addEventListener("click", edit);
$("reject").addEventListener("click", reject);
$("show-neighbours").addEventListener("click", toggleNeighbours);
$("reject-dialog").addEventListener("close", (event) => {
  if (event.target.returnValue) decide({ verdict: "rejected", reason: event.target.returnValue });
});
document.addEventListener("keydown", onKey);
start();

async function start() {
  try {
    const me = await whoAmI();
    person = me.person;
    $("name-part").hidden = me.can_sign_in;
    $("signed-in").hidden = !person;
    $("sign-in").hidden = !me.can_sign_in || Boolean(person);
    $("who").textContent = person ?? "";
    const served = await send("/v1/assistant");
    able = new Set(served.abilities);
    $("model").textContent = served.model;
    $("way").textContent = served.way;
    $("instruction-part").hidden = !able.has("chat");
  } catch (error) {
    say(error.message);
  }
  $("findings").focus();
}

// A follow-up answers the draft that is on the page, whichever was chosen, edited or not.
async function follow() {
  const text = $("more").value.trim();
  if (!current || decided || !text) return;
  const shown = $("edited").hidden ? chosen() : $("edited").value;
  await draft([...turns, { role: "assistant", text: shown }, { role: "user", text }]);
  $("more").value = "";
}

function chosen() {
  return choice ? current.alternatives[choice - 1].impression : current.draft.impression;
}

async function draft(said = []) {
  const findings = $("findings").value;
  if (!findings.trim()) return say("There are no findings yet.");
  asking?.abort();
  asking = new AbortController();
  const request = { findings, indication: $("indication").value, style: $("style").value, n: Number($("count").value),
    neighbours: able.has("library") ? NEIGHBOURS : 0, stream: true };
  if (able.has("chat")) Object.assign(request, { instruction: $("instruction").value.trim(), turns: said });
  say("");
  reset();
  setState("drafting");
  $("impression").replaceChildren();
  $("impression").setAttribute("aria-busy", "true");
  try {
    for await (const [name, data] of stream("/v1/impressions", request, asking.signal)) {
      if (name === "piece") $("impression").append(data);
      if (name === "impression") {
        turns = said;
        present(data, findings);
      }
      if (name === "error") throw new Error(data.error.message);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    setState("no draft", "bad");
    say(error.message);
  } finally {
    $("impression").setAttribute("aria-busy", "false");
  }
}

function present(answer, findings) {
  current = { ...answer, findings };
  since = performance.now();
  setState("draft");
  $("ask").hidden = true;
  $("again").hidden = $("shown-findings").hidden = $("acts").hidden = false;
  $("follow").hidden = !able.has("chat");
  $("turns").replaceChildren(...turns.filter((turn) => turn.role === "user").map((turn) => {
    const item = document.createElement("li");
    item.textContent = turn.text;
    return item;
  }));
  const others = answer.alternatives.map((one, at) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(key(at + 1), ` ${one.impression} `);
    if (one.flags.length) {
      const flagged = document.createElement("span");
      flagged.className = "badge bad";
      flagged.textContent = one.flags.map((flag) => flag.kind).join(", ");
      button.append(flagged);
    }
    button.addEventListener("click", () => choose(choice === at + 1 ? 0 : at + 1));
    item.append(button);
    return item;
  });
  $("alternatives").replaceChildren(...others);
  $("alternatives-part").hidden = !others.length;
  choose(0);
  const neighbours = answer.neighbours.map((one) => {
    const item = document.createElement("li");
    const score = document.createElement("span");
    score.className = "badge";
    score.textContent = `${Math.round(one.score * 100)}%`;
    const impression = document.createElement("strong");
    impression.textContent = one.impression;
    const text = document.createElement("div");
    text.className = "quiet";
    text.textContent = one.findings;
    item.append(score, " ", impression, text);
    return item;
  });
  $("neighbours").replaceChildren(...neighbours);
  $("show-neighbours").hidden = !neighbours.length;
  $("impression-title").tabIndex = -1;
  $("impression-title").focus();
}

function choose(number) {
  choice = number;
  const { links, flags, voices } = number ? current.alternatives[number - 1] : current;
  const text = number ? current.alternatives[number - 1].impression : current.draft.impression;
  [...$("alternatives").querySelectorAll("button")].forEach((one, at) => one.setAttribute("aria-pressed", at + 1 === number));
  const drafted = show($("impression"), text, [...links.map((l) => l.impression), ...flags.map((f) => f.draft_span ?? [0, 0])]);
  const sources = links.flatMap((link) => link.findings);
  const found = show($("shown-findings"), current.findings, [...sources, ...flags.map((f) => f.findings_span ?? [0, 0])]);
  let at = 0;
  links.forEach((link, number) => {
    const mine = drafted(number);
    const rests = link.findings.map(() => found(at++));
    const theirs = rests.flat();
    mine.forEach((node) => node.classList.add("sentence", ...(link.findings.length ? [] : ["unlinked"])));
    if (!mine.length) return;
    mine[0].tabIndex = 0;
    mine[0].setAttribute("role", "note");
    const said = tellVoices(voices.find((one) => one.impression[0] === link.impression[0]));
    mine[0].setAttribute("aria-label", `${words(mine)} ${
      rests.length ? `Rests on: ${rests.map(words).join(" ")}` : "Rests on no single sentence of the findings."} ${said}`);
    light(mine, [...mine, ...theirs]);
    for (const node of mine) for (const event of ["mouseenter", "focus"]) node.addEventListener(event, () => showVoices(said));
  });
  $("flags").replaceChildren(...flags.map((flag, number) => {
    const item = document.createElement("li");
    item.tabIndex = 0;
    const kind = document.createElement("b");
    kind.textContent = flag.kind;
    item.append(kind, flag.message);
    const places = [...drafted(links.length + number), ...found(sources.length + number)];
    drafted(links.length + number).forEach((node) => node.classList.add("flagged"));
    light([item], places);
    return item;
  }));
  $("flags-part").hidden = !flags.length;
  showVoices(tellOrigin(number));
  setState(number ? `other draft ${number}` : "draft");
}

// Who says a sentence word for word; nothing for a draft that was not voted for.
function tellVoices(voices) {
  if (!voices) return "";
  const told = [];
  if (voices.samples) told.push(`${voices.samples} of ${current.model.samples} samples`);
  if (voices.neighbours.length) told.push(`${voices.neighbours.length} similar report${voices.neighbours.length > 1 ? "s" : ""}`);
  if (voices.findings) told.push("the findings");
  return told.length ? `Said word for word by ${told.join(", ")}.` : "Put together from several; nobody says it word for word.";
}

function tellOrigin(number) {
  if (number) return "";
  if (current.draft.finish_reason === "from_findings") {
    return "No candidate agreed with the findings: these are the findings' own sentences.";
  }
  return able.has("vote") && !voted() ? "The model's answer to what was asked: nothing voted on it." : "";
}

function voted() {
  return current.voices.length > 0;
}

function showVoices(text) {
  $("voices").textContent = text;
  $("voices").hidden = !text;
}

function words(nodes) {
  return nodes.map((node) => node.textContent).join("");
}

function light(triggers, places) {
  const set = (on) => places.forEach((node) => node.classList.toggle("on", on));
  for (const trigger of triggers) {
    for (const event of ["mouseenter", "focus"]) trigger.addEventListener(event, () => set(true));
    for (const event of ["mouseleave", "blur"]) trigger.addEventListener(event, () => set(false));
  }
}

function accept() {
  if (!current || decided) return;
  if (!$("edited").hidden) return decide({ verdict: "edited", impression: $("edited").value });
  decide({ verdict: "accepted" });
}

function edit() {
  if (!current || decided || !$("edited").hidden) return;
  $("edited").value = chosen();
  $("edited").hidden = false;
  $("impression").hidden = true;
  setState("editing");
  $("accept").firstChild.textContent = "Sign the edited ";
  $("accept").lastElementChild.textContent = "Ctrl ↵";
  $("edited").focus();
}

function reject() {
  if (!current || decided) return;
  $("reject-dialog").returnValue = "";
  $("reject-dialog").showModal();
}

async function decide(verdict) {
  const named = person ?? $("person").value.trim();
  if (!named) {
    say("Give your name first: a verdict is a person's act.");
    return $("person").focus();
  }
  const seconds = (performance.now() - since) / 1000;
  try {
    const kept = await send(`/v1/impressions/${current.id}/verdict`, { ...verdict, person: named, choice, seconds });
    decided = true;
    for (const id of ["accept", "edit", "reject"]) $(id).disabled = true;
    $("follow").hidden = true;
    for (const button of $("alternatives").querySelectorAll("button")) button.disabled = true;
    $("edited").hidden = true;
    $("impression").hidden = false;
    if (kept.impression === null) {
      setState(`rejected by ${kept.person}`, "bad");
      return say("Rejected, and kept.");
    }
    $("impression").textContent = kept.impression;
    setState(`${kept.verdict} by ${kept.person}`, "done");
    const copied = await navigator.clipboard?.writeText(kept.impression).then(() => true, () => false);
    say(copied ? "Kept, and copied." : "Kept.");
  } catch (error) {
    say(error.message);
  }
}

function toggleNeighbours() {
  if (!current?.neighbours.length) return;
  $("neighbours-part").hidden = !$("neighbours-part").hidden;
  if (!$("neighbours-part").hidden) $("neighbours-part").scrollIntoView({ block: "nearest" });
}

function back() {
  asking?.abort();
  reset();
  setState("no draft");
  $("findings").focus();
}

function reset() {
  current = null;
  decided = false;
  for (const id of ["again", "shown-findings", "acts", "edited", "flags-part", "voices", "follow", "alternatives-part", "neighbours-part"]) {
    $(id).hidden = true;
  }
  for (const id of ["accept", "edit", "reject"]) $(id).disabled = false;
  $("accept").firstChild.textContent = "Accept ";
  $("accept").lastElementChild.textContent = "A";
  $("ask").hidden = $("impression").hidden = false;
  $("impression").replaceChildren();
}

function setState(text, kind = "") {
  $("state").textContent = text;
  $("state").className = `badge ${kind}`;
}

function key(text) {
  const node = document.createElement("kbd");
  node.textContent = text;
  return node;
}

function onKey(event) {
  const open = document.querySelector("dialog[open]");
  if (open) {
    const button = open.querySelectorAll(".reasons button")[Number(event.key) - 1];
    if (button) button.click();
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return $("edited").hidden ? draft() : accept();
  }
  if (event.key === "Escape" && !$("again").hidden) return back();
  if (event.ctrlKey || event.metaKey || event.altKey || /^(input|textarea|select)$/i.test(event.target.tagName)) return;
  const act = { a: accept, e: edit, r: reject, n: toggleNeighbours, f: () => $("more").focus() }[event.key.toLowerCase()];
  const number = Number(event.key);
  if (act) {
    event.preventDefault();
    act();
  } else if (current && !decided && $("edited").hidden && number >= 1 && number <= current.alternatives.length) {
    choose(choice === number ? 0 : number);
  }
}
