// A text with entities in colours. Offsets of the server count characters, those of a browser halves of surrogate pairs.
import { word } from "./words.js";

const COLOURS = 8;
const LINES = 40;

export const colour = (labels, label) => `c${Math.max(0, labels.indexOf(label)) % COLOURS}`;

// The place in the string of each character, or null where every character is one unit.
export function places(text) {
  if (!/[\ud800-\udfff]/.test(text)) return null;
  const found = [0];
  for (const character of text) found.push(found[found.length - 1] + character.length);
  return found;
}

// Stretches of a text from the borders of spans: start, end, and the spans that cover it, the shortest last.
export function stretches(length, spans) {
  const borders = new Set([0, length]);
  for (const span of spans) borders.add(span.from).add(span.to);
  const sorted = [...borders].sort((a, b) => a - b);
  const begins = [...spans].sort((a, b) => a.from - b.from);
  const found = [];
  let open = [], next = 0;
  for (let number = 0; number + 1 < sorted.length; number++) {
    const [start, end] = [sorted[number], sorted[number + 1]];
    open = open.filter((span) => span.to > start);
    while (next < begins.length && begins[next].from <= start) open.push(begins[next++]);
    found.push([start, end, [...open].sort((a, b) => (b.to - b.from) - (a.to - a.from))]);
  }
  return found;
}

// Fill `target` with the text, in blocks of whole lines, of which a browser draws those that are seen; `dress` makes the
// mark of a stretch out of its spans.
export function show(target, text, spans, dress) {
  target.replaceChildren();
  target.classList.add("marks");
  let block = document.createElement("div");
  let lines = 0;
  const blocks = document.createDocumentFragment();
  const put = (part, covering) => {
    if (!part) return;
    if (!covering.length) {
      block.append(part);
      return;
    }
    const mark = document.createElement("mark");
    mark.textContent = part;
    dress(mark, covering);
    block.append(mark);
  };
  for (const [start, end, covering] of stretches(text.length, spans)) {
    text.slice(start, end).split("\n").forEach((part, number) => {
      if (number && ++lines % LINES === 0) {
        blocks.append(block);
        block = document.createElement("div");
      } else if (number) block.append("\n");
      put(part, covering);
    });
  }
  blocks.append(block);
  target.append(blocks);
}

// Entities of a document, with a legend that filters them.
export class Entities {
  constructor(labels, announce) {
    this.labels = labels;
    this.announce = announce;
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    this.legend.setAttribute("role", "group");
    this.legend.setAttribute("aria-label", word("legend"));
    this.slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.01, value: 0 });
    this.amount = document.createElement("output");
    this.text = Object.assign(document.createElement("div"), { className: "text", tabIndex: -1 });
    this.hidden = new Set();
    this.slider.addEventListener("input", () => this.filter());
    this.text.addEventListener("click", (event) => this.chosen(event.target.closest("mark")));
    this.text.addEventListener("keydown", (event) => this.key(event));
  }

  show(text, spans) {
    const where = places(text);
    const at = (place) => (where ? where[place] : place);
    this.entities = spans.map((span) => ({ ...span, from: at(span.start), to: at(span.end), marks: [] }));
    show(this.text, text, this.entities, (mark, covering) => {
      const entity = covering[covering.length - 1];
      entity.marks.push(mark);
      mark.className = colour(this.labels, entity.label);
      mark.title = covering.map((each) => `${each.label}${each.score === undefined ? "" : ` ${each.score.toFixed(3)}`}`)
        .join(" · ");
      mark.entity = entity;
      mark.tabIndex = -1;
    });
    this.same = new Map();
    for (const entity of this.entities) {
      // One that is wholly covered by shorter ones has no mark of its own.
      if (!entity.marks.length) continue;
      entity.marks[entity.marks.length - 1].dataset.label = entity.label;
      const key = JSON.stringify([entity.label, entity.text]);
      if (!this.same.has(key)) this.same.set(key, []);
      this.same.get(key).push(entity);
    }
    const counts = new Map(this.labels.map((label) => [label, 0]));
    for (const { label } of spans) counts.set(label, (counts.get(label) ?? 0) + 1);
    this.legend.replaceChildren(...[...counts].map(([label, count]) => this.entry(label, count)));
    this.filter();
  }

  entry(label, count) {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !this.hidden.has(label) });
    box.addEventListener("change", () => {
      if (box.checked) this.hidden.delete(label);
      else this.hidden.add(label);
      this.filter();
    });
    const name = Object.assign(document.createElement("b"), { className: colour(this.labels, label), textContent: label });
    const entry = document.createElement("label");
    entry.append(box, " ", name, ` ${count}`);
    return entry;
  }

  filter() {
    const least = Number(this.slider.value);
    this.amount.textContent = least.toFixed(2);
    this.visible = this.entities.filter((entity) => {
      const on = !this.hidden.has(entity.label) && (entity.score ?? 1) >= least && entity.marks.length > 0;
      for (const mark of entity.marks) mark.classList.toggle("off", !on);
      return on;
    });
    this.current?.classList.remove("here");
    this.current = null;
    if (this.visible.length) this.visible[0].marks[0].tabIndex = 0;
  }

  go(entity, note) {
    if (this.current) {
      this.current.classList.remove("here");
      this.current.tabIndex = -1;
    }
    this.current = entity.marks[0];
    this.current.classList.add("here");
    this.current.tabIndex = 0;
    this.current.focus({ preventScroll: true });
    this.current.scrollIntoView({ block: "center" });
    this.announce(`${entity.text} — ${this.current.title}${note ? ` — ${note}` : ""}`);
  }

  chosen(mark) {
    if (!mark?.entity || mark.classList.contains("off")) return;
    const { entity } = mark;
    const same = this.same.get(JSON.stringify([entity.label, entity.text])).filter((each) => this.visible.includes(each));
    const from = this.current?.entity === entity ? same.indexOf(entity) + 1 : same.indexOf(entity);
    const place = from % same.length;
    this.go(same[place], `${word("occurrence")} ${place + 1} ${word("of")} ${same.length}`);
  }

  key(event) {
    const here = event.target.closest("mark");
    if (!here?.entity) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.chosen(here);
    else if (step) {
      const place = this.visible.indexOf(here.entity) + step;
      if (place >= 0 && place < this.visible.length) this.go(this.visible[place]);
    } else return;
    event.preventDefault();
  }
}
