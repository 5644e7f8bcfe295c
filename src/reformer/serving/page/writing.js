// A language model: a prompt that goes on as it is generated, and a text coloured by how surprising each token is.
import { show } from "./marks.js";
import { element } from "./views.js";
import { word } from "./words.js";

const STEPS = [1, 2, 4, 6, 9];

const number = (name, label, value, step) =>
  element("label", {}, label, " ", element("input", { type: "number", name, value, step, min: 0, size: 6 }));

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

export function writing(model, base, ask, say) {
  const prompt = element("textarea", { name: "prompt", required: true, spellcheck: false });
  const made = element("form", {}, element("label", { className: "wide" }, word("prompt"), prompt),
    number("max_tokens", word("tokens"), 128, 1), number("temperature", word("temperature"), 1, 0.1),
    number("seed", word("seed"), "", 1), element("button", { className: "main", textContent: word("go") }));
  const stop = element("button", { type: "button", textContent: word("stop"), disabled: true });
  const colour = element("button", { type: "button", textContent: word("surprise") });
  made.append(stop, colour);
  const written = element("pre", { className: "written" });
  const text = element("div", { className: "text", hidden: true });
  let going = null;
  stop.addEventListener("click", () => going?.abort());
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { model: model.name, prompt: prompt.value, stream: true, max_tokens: Number(made.elements.max_tokens.value),
      temperature: Number(made.elements.temperature.value) };
    if (made.elements.seed.value !== "") body.seed = Number(made.elements.seed.value);
    going = new AbortController();
    stop.disabled = false;
    text.hidden = true;
    say(word("working"));
    const fresh = element("span", { className: "new" });
    written.replaceChildren(prompt.value, fresh);
    try {
      const headers = { "content-type": "application/json" };
      const response = await ask("/v1/completions", { method: "POST", headers, body: JSON.stringify(body), signal: going.signal });
      for await (const part of events(response)) {
        if (part.error) throw new Error(part.error.message);
        fresh.append(part.choices[0]?.text ?? "");
      }
      say(word("ready"));
    } catch (error) {
      if (error.name === "AbortError") say(word("ready"));
      else say(error.message, true);
    } finally {
      stop.disabled = true;
    }
  });
  colour.addEventListener("click", async () => {
    const value = written.textContent || prompt.value;
    if (!value) return;
    try {
      const response = await ask(`${base}/score`, { method: "POST", headers: { "content-type": "text/plain" }, body: value });
      const scored = await response.json();
      paint(text, value, scored.per_token);
      text.hidden = false;
      say(`${scored.bits_per_byte?.toFixed(3)} ${word("perToken")}`);
    } catch (error) {
      say(error.message, true);
    }
  });
  return [made, written, text];
}

// Tokens count bytes; the characters that begin within one belong to it.
function paint(target, value, tokens) {
  const spans = [];
  let byte = 0, unit = 0, next = 0;
  const begins = [];
  for (const character of value) {
    const code = character.codePointAt(0);
    begins.push([byte, unit]);
    byte += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    unit += character.length;
  }
  begins.push([byte, unit]);
  for (const { start, end, bits } of tokens) {
    while (next < begins.length && begins[next][0] < start) next++;
    let last = next;
    while (last < begins.length && begins[last][0] < end) last++;
    const [from, to] = [begins[next][1], begins[last]?.[1] ?? unit];
    const before = spans[spans.length - 1];
    if (to > from) spans.push({ from, to, bits: bits ?? 0 });
    // Of a character of several tokens the bits are added up.
    else if (before && bits) before.bits += bits;
  }
  show(target, value, spans, (mark, [span]) => {
    mark.className = `s${STEPS.filter((step) => span.bits >= step).length}`;
    mark.title = `${span.bits.toFixed(2)} ${word("bits")}`;
  });
}
