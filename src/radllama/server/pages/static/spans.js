// Text cut at spans: each part becomes a <span> that knows which spans cover it. Text is set, never parsed as HTML.

// Offsets from the server count code points; JavaScript counts UTF-16 units.
export function cut(text, spans) {
  const points = Array.from(text);
  const edges = [...new Set([0, points.length, ...spans.flat()])].sort((a, b) => a - b);
  const parts = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const [start, end] = [edges[i], edges[i + 1]];
    const covering = spans.flatMap(([from, to], at) => (from <= start && end <= to ? [at] : []));
    parts.push({ text: points.slice(start, end).join(""), covering });
  }
  return parts;
}

export function show(element, text, spans) {
  const nodes = cut(text, spans).map(({ text, covering }) => {
    const node = document.createElement("span");
    node.textContent = text;
    node.dataset.spans = covering.join(" ");
    return node;
  });
  element.replaceChildren(...nodes);
  return (at) => nodes.filter((node) => node.dataset.spans.split(" ").includes(String(at)));
}
