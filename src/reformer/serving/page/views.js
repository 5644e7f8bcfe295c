// What each task shows: what is asked for, and an answer.
import { chart } from "./chart.js";
import { Entities, places, show } from "./marks.js";
import { word } from "./words.js";

export const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const area = (name, label) => {
  const box = element("textarea", { name, required: true, spellcheck: false });
  return element("label", { className: "wide" }, label, box);
};

const record = (form, names) => Object.fromEntries(names.map((name) => [name, form.elements[name].value]));

const side = (text) => element("p", { textContent: text });

function bars(scores, chosen) {
  const box = element("div", { className: "bars" });
  for (const [label, score] of Object.entries(scores).sort((a, b) => b[1] - a[1])) {
    const name = element("span", { textContent: label, className: chosen.includes(label) ? "chosen" : "" });
    const meter = element("meter", { min: 0, max: 1, value: score, title: `${label} ${score.toFixed(4)}` });
    box.append(name, meter, element("span", { textContent: score.toFixed(4) }));
  }
  return box;
}

const scored = (answer) => {
  const chosen = [answer.label ?? []].flat();
  const told = element("h2", { textContent: chosen.join(", ") || word("none") });
  return [told, bars(answer.scores ?? {}, chosen)];
};

const image = (answer, file) =>
  file?.type.startsWith("image/") ? element("img", { src: URL.createObjectURL(file), alt: answer.id }) : answer.id;

// Each: `fields` of a record that can be typed, and `answer`, the elements for an answer.
export const TASKS = {
  "token-classification": (model, announce) => {
    const entities = new Entities(model.labels, announce);
    const filter = element("label", {}, word("confidence"), " ", entities.slider, " ", entities.amount);
    return {
      fields: [[model.text_field, word("text")]],
      answer: (answer) => {
        entities.show(answer.text, answer.spans);
        const hint = element("p", { textContent: word("keys") });
        return [entities.legend, element("div", { className: "row" }, filter), hint, entities.text];
      },
    };
  },
  "sequence-classification": (model) => ({
    fields: [[model.text_field, word("text")]],
    answer: (answer) => {
      const text = element("div", { className: "text" });
      show(text, answer.text ?? "", [], () => {});
      return [...scored(answer), text];
    },
  }),
  "question-answering": () => ({
    fields: [["question", word("question")], ["context", word("text")]],
    answer: (answer) => {
      const text = element("div", { className: "text" });
      const where = places(answer.context);
      const at = (place) => (where ? where[place] : place);
      const spans = answer.start === null ? [] : [{ from: at(answer.start), to: at(answer.end) }];
      show(text, answer.context, spans, (mark) => {
        mark.className = "c1 here";
        mark.dataset.label = word("answer");
        setTimeout(() => mark.scrollIntoView({ block: "nearest" }));
      });
      const told = `${answer.answer ?? word("none")} — ${word("probability")} ${answer.probability.toFixed(3)}`;
      return [element("p", { textContent: answer.question }), element("h2", { textContent: told }), text];
    },
  }),
  "text-to-text": (model) => ({
    fields: [[model.text_field, word("text")]],
    answer: (answer) => [element("div", { className: "sides" }, side(answer.source), side(answer.target))],
  }),
  "image-classification": () => ({
    fields: null,
    answer: (answer, file) => [element("div", { className: "sides" }, element("p", {}, image(answer, file)),
      element("div", {}, ...scored(answer)))],
  }),
  "image-to-text": () => ({
    fields: null,
    answer: (answer, file) => [element("div", { className: "sides" }, element("p", {}, image(answer, file)),
      side(answer.caption))],
  }),
  forecasting: (model) => ({
    fields: null,
    whole: (answers, file, content) => chart(model, answers, content),
  }),
};

// What a person fills in: texts, or files.
export function form(fields, submit) {
  const made = element("form", {});
  for (const [name, label] of fields ?? []) made.append(area(name, label));
  const files = element("input", { type: "file", name: "files", multiple: true });
  const drop = element("label", { className: "drop wide" }, word("files"), " ", files);
  made.append(drop, element("button", { className: "main", textContent: word("ask") }));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") {
        files.files = event.dataTransfer.files;
        files.dispatchEvent(new Event("change"));
      }
    });
  }
  const typed = [...made.querySelectorAll("textarea")];
  files.addEventListener("change", () => {
    for (const box of typed) box.required = !files.files.length;
    if (files.files.length) made.requestSubmit();
  });
  for (const box of typed) {
    box.addEventListener("input", () => {
      files.value = "";
      box.required = true;
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) made.requestSubmit();
    });
  }
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    if (files.files.length) submit([...files.files]);
    else if (fields) submit([], record(made, fields.map(([name]) => name)));
  });
  return made;
}
