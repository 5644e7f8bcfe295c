// History, horizon and quantiles of forecasts, one picture for each series and column.
import { word } from "./words.js";

const WIDTH = 900, HEIGHT = 260, EDGE = 40, PAST = 4;

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// The rows of a table, by the separator that its first line has most of.
function table(content) {
  const lines = content.split(/\r?\n/).filter((line) => line.trim());
  const first = lines[0] ?? "";
  const separator = [",", ";", "\t"].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const cells = (line) => line.split(separator).map((cell) => cell.replace(/^"|"$/g, ""));
  const names = cells(first);
  return { names, rows: lines.slice(1).map(cells), comma: separator !== "," };
}

const number = (cell, comma) => (cell?.trim() ? Number(comma ? cell.replace(",", ".") : cell) : NaN);

function picture(past, point, low, high, title) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  const values = [...past, ...point, ...low, ...high].filter(Number.isFinite);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const total = Math.max(1, past.length + point.length - 1);
  const x = (place) => EDGE + (place / total) * (WIDTH - 2 * EDGE);
  const y = (value) => HEIGHT - EDGE - ((value - least) / (most - least || 1)) * (HEIGHT - 2 * EDGE);
  const path = (series, offset) => {
    let up = true;
    return series.map((value, place) => {
      if (!Number.isFinite(value)) {
        up = true;
        return "";
      }
      const step = `${up ? "M" : "L"}${x(place + offset).toFixed(1)},${y(value).toFixed(1)}`;
      up = false;
      return step;
    }).join("");
  };
  if (low.length) {
    const back = high.map((value, place) => `${x(place + past.length).toFixed(1)},${y(value).toFixed(1)}`);
    const there = low.map((value, place) => `${x(place + past.length).toFixed(1)},${y(value).toFixed(1)}`).reverse();
    drawing.append(svg("polygon", { class: "band", points: [...back, ...there].join(" ") }));
  }
  drawing.append(svg("line", { x1: x(past.length - 0.5), x2: x(past.length - 0.5), y1: EDGE / 2, y2: HEIGHT - EDGE / 2 }));
  drawing.append(svg("path", { class: "past", d: path(past, 0) }), svg("path", { class: "next", d: path(point, past.length) }));
  for (const value of [least, most]) {
    const label = svg("text", { x: 2, y: y(value) });
    label.textContent = value.toPrecision(4);
    drawing.append(label);
  }
  return drawing;
}

export function chart(model, answers, content) {
  const { names, rows, comma } = table(content ?? "");
  const groups = new Map();
  const levels = (model.quantiles ?? []).filter((level) => level !== 0.5);
  const quantile = new RegExp(` (${levels.map((level) => String(level).replace(".", "\\.")).join("|")})$`);
  const columns = Object.keys(answers[0] ?? {}).filter((name) => !["file", "date"].includes(name));
  const column = columns.filter((name) => typeof answers[0][name] !== "string" && !(levels.length && quantile.test(name)));
  const member = columns.find((name) => typeof answers[0][name] === "string");
  for (const answer of answers) {
    const key = member ? answer[member] : "";
    groups.set(key, [...(groups.get(key) ?? []), answer]);
  }
  const found = [];
  for (const [key, steps] of groups) {
    for (const name of column) {
      const place = names.indexOf(name), whose = names.indexOf(member);
      const past = rows.filter((row) => !member || row[whose] === key).slice(-PAST * steps.length)
        .map((row) => (place < 0 ? NaN : number(row[place], comma)));
      const of = (suffix) => steps.map((step) => step[`${name}${suffix}`] ?? NaN);
      const [low, high] = levels.length ? [of(` ${Math.min(...levels)}`), of(` ${Math.max(...levels)}`)] : [[], []];
      const title = [key, name].filter(Boolean).join(" · ");
      const heading = document.createElement("h2");
      heading.textContent = title;
      const note = document.createElement("p");
      const range = levels.length ? ` · ${word("quantiles")} ${Math.min(...levels)}–${Math.max(...levels)}` : "";
      note.textContent = `${word("history")} → ${word("forecast")} ${steps[0].date} – ${steps[steps.length - 1].date}${range}`;
      found.push(heading, note, picture(past, of(""), low, high, title));
    }
  }
  return found;
}
