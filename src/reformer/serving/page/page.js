// The page: chooses the run, asks for answers and shows them. It asks this host alone.
import { TASKS, element, form } from "./views.js";
import { language, word } from "./words.js";
import { writing } from "./writing.js";

const find = (id) => document.getElementById(id);
let token = "";

document.documentElement.lang = language;
for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);

function say(message, wrong = false) {
  find("status").textContent = message;
  find("status").classList.toggle("wrong", wrong);
  find("status").setAttribute("aria-busy", message === word("working"));
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) {
    find("access").hidden = false;
    throw new Error(word("reject"));
  }
  const told = await response.json().catch(() => ({}));
  throw new Error(told.detail?.map((each) => each.msg).join("\n") ?? `${response.status}`);
}

// A record that was typed is a file of one line, as a program would send it.
const bodies = (files, typed) =>
  typed ? [{ query: {}, type: "application/x-ndjson", body: `${JSON.stringify(typed)}\n` }]
    : files.map((file) => ({ query: { name: file.name }, type: "application/octet-stream", body: file, file }));

const send = (base, { query, type, body }, more = {}) =>
  ask(`${base}/predict?${new URLSearchParams({ ...query, ...more })}`, { method: "POST", headers: { "content-type": type }, body });

const SUFFIXES = { jsonl: "jsonl", csv: "csv", conll: "conll", conllu: "conllu", bioes: "conll", bmes: "conll",
  biluo: "conll", io: "conll" };

const USUAL = ["jsonl", "csv", "conll", "label-studio"];

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function downloads(model, base, asked, written) {
  const box = element("div", { className: "row" }, element("span", { textContent: word("download") }));
  const others = element("div", { className: "row" });
  for (const form of model.forms) {
    const button = element("button", { type: "button", textContent: form });
    button.addEventListener("click", async () => {
      try {
        const suffix = SUFFIXES[form] ?? "json";
        for (const [number, each] of asked.entries()) {
          const whole = form === "jsonl" ? new Blob([written[number]]) : await (await send(base, each, { to: form })).blob();
          save(whole, `${(each.query.name ?? "answers").replace(/\.[^.]*$/, "")}.${suffix}`);
        }
      } catch (error) {
        say(error.message, true);
      }
    });
    (USUAL.includes(form) ? box : others).append(button);
  }
  if (others.childElementCount) box.append(element("details", {}, element("summary", { textContent: word("others") }), others));
  return box;
}

function predicting(model, base) {
  const view = TASKS[model.task](model, say);
  const output = element("section", {});
  const made = form(view.fields, async (files, typed) => {
    output.replaceChildren();
    say(word("working"));
    const asked = bodies(files, typed), written = [], answers = [];
    try {
      for (const each of asked) {
        const text = await (await send(base, each)).text();
        written.push(text);
        for (const line of text.split("\n").filter(Boolean)) answers.push([JSON.parse(line), each.file]);
      }
      const wrong = answers.filter(([answer]) => answer.error).map(([answer]) => answer.error.msg);
      say(wrong.length ? wrong.join("\n") : word("ready"), wrong.length > 0);
      const right = answers.filter(([answer]) => !answer.error);
      if (!right.length) return;
      output.append(downloads(model, base, asked, written));
      if (view.whole) {
        for (const each of asked) {
          const own = right.filter(([, file]) => file === each.file).map(([answer]) => answer);
          output.append(...view.whole(own, each.file, await each.file?.text()));
        }
      } else output.append(...documents(right, view));
    } catch (error) {
      say(error.message, true);
    }
  });
  return [made, output];
}

// One document at a time, of several.
function documents(answers, view) {
  const shown = element("div", {});
  let place = 0;
  const name = element("select", { ariaLabel: word("document") });
  const go = (to) => {
    place = Math.min(Math.max(to, 0), answers.length - 1);
    name.value = place;
    shown.replaceChildren(...view.answer(...answers[place]));
  };
  name.append(...answers.map(([answer], number) => element("option", { value: number, textContent: answer.id })));
  name.addEventListener("change", () => go(Number(name.value)));
  const step = (by, label) => {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => go(place + by));
    return button;
  };
  go(0);
  if (answers.length === 1) return [shown];
  const bar = element("div", { className: "row" }, step(-1, word("previous")), name, step(1, word("next")),
    element("span", { textContent: answers.length }));
  return [bar, shown];
}

async function open(name) {
  const base = `/runs/${encodeURIComponent(name)}`;
  const model = await (await ask(`${base}/model`)).json();
  const about = [model.task, `${word("longest")} ${model.max_length.toLocaleString()} ${word("positions")}`];
  if (model.labels.length) about.push(`${model.labels.length} ${word("labels")}`);
  if (!model.calibrated && model.labels.length) about.push(word("uncalibrated"));
  find("title").textContent = `Reformer · ${name}`;
  document.title = find("title").textContent;
  find("about").textContent = about.join(" · ");
  const views = model.task in TASKS ? predicting(model, base) : writing(model, base, ask, say);
  find("view").replaceChildren(...views);
  say("");
}

async function begin() {
  try {
    const names = await (await ask("/runs")).json();
    find("access").hidden = true;
    find("runs").replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
    find("choice").hidden = names.length < 2;
    const given = decodeURIComponent(location.pathname.split("/")[2] ?? "");
    const first = names.includes(given) ? given : names[0];
    find("runs").value = first;
    await open(first);
  } catch (error) {
    say(error.message, true);
  }
}

find("runs").addEventListener("change", () => open(find("runs").value).catch((error) => say(error.message, true)));
find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value;
  begin();
});
begin();
