// How drafts fare, day by day: four small charts, and the numbers below them.

import { say, send, whoAmI } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [320, 130, 34, 18];
const judged = (day) => day.accepted + day.edited + day.rejected;
const share = (part) => (day) => (judged(day) ? part(day) / judged(day) : null);
const CHARTS = [
  ["Accepted as drafted", share((day) => day.accepted), 1, (value) => `${Math.round(value * 100)}%`],
  ["Rejected", share((day) => day.rejected), 1, (value) => `${Math.round(value * 100)}%`],
  ["Words changed in a signed draft", (day) => (day.accepted + day.edited ? day.edits : null), null, (value) => value.toFixed(1)],
  ["Flags a draft", (day) => day.flags, null, (value) => value.toFixed(1)],
];

start();

async function start() {
  try {
    await whoAmI();
    const [{ days }, served] = await Promise.all([send("/v1/feedback/drift?days=90"), send("/v1/assistant")]);
    document.getElementById("model").textContent = served.model;
    if (!days.length) say("Nothing was drafted in this time.");
    document.getElementById("charts").replaceChildren(...CHARTS.map((chart) => draw(days, ...chart)));
    const rows = days.toReversed().map((day) => {
      const row = document.createElement("tr");
      for (const value of [day.day, day.drafts, day.accepted, day.edited, day.rejected, day.edits, day.flags]) {
        row.insertCell().textContent = value;
      }
      return row;
    });
    document.querySelector("#days tbody").replaceChildren(...rows);
  } catch (error) {
    say(error.message);
  }
}

function draw(days, title, value, top, told) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const points = days.map((day) => [Date.parse(day.day), value(day)]).filter(([, y]) => y !== null);
  const most = top ?? Math.max(1, ...points.map(([, y]) => y));
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 1];
  const x = (time) => LEFT + (last > first ? (time - first) / (last - first) : 0.5) * (WIDTH - LEFT - 8);
  const y = (number) => 6 + (1 - number / most) * (HEIGHT - BOTTOM - 6);
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  svg.setAttribute("aria-label", points.length ? `${title}: latest ${told(points.at(-1)[1])}` : `${title}: nothing yet`);
  for (const level of [0, most]) {
    svg.append(node("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(level), y2: y(level) }),
      node("text", { x: 0, y: y(level) + 4 }, told(level)));
  }
  if (points.length) {
    svg.append(node("polyline", { class: "line", points: points.map(([t, v]) => `${x(t)},${y(v)}`).join(" ") }));
    for (const [time, number] of points) svg.append(node("circle", { class: "dot", cx: x(time), cy: y(number), r: 3 }));
    for (const [time, anchor] of [[first, "start"], ...(last > first ? [[last, "end"]] : [])]) {
      const label = new Date(time).toISOString().slice(0, 10);
      svg.append(node("text", { x: last > first ? x(time) : LEFT, y: HEIGHT - 2, "text-anchor": anchor }, label));
    }
  }
  figure.append(caption, svg);
  return figure;
}

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
