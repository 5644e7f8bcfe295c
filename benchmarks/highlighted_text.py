"""The page of `reformer serve` beside Gradio's HighlightedText: a document of 100,000 characters and 5,000 entities.

    python -m venv /tmp/gradio && /tmp/gradio/bin/pip install gradio playwright     # an environment to throw away
    PYTHONPATH=. /tmp/gradio/bin/python -m benchmarks.highlighted_text --output figures.json

Both are shown by headless Chromium (`apt-get install chromium`): the bytes that the page fetches, the hosts that it
asks beside its own (none answers), the processor time of its main thread until the document is shown, and for each
frame while it is scrolled.
"""

import argparse
import http.server
import json
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = Path(__file__).parent.parent / "src/reformer/serving/page"
LINE = "王小明去了昌平区的新华社。".ljust(59, "的") + "\n"
LINES = 1667
PLACES = ((0, 3, "PER"), (5, 8, "LOC"), (9, 12, "ORG"))
FRAMES = 60
OURS = """async ([line, lines, places]) => {
  const { Entities } = await import("/page/marks.js");
  const text = line.repeat(lines), spans = [];
  for (let at = 0; at < text.length; at += line.length)
    for (const [start, end, label] of places)
      spans.push({ start: at + start, end: at + end, label, text: line.slice(start, end), score: 0.9 });
  const entities = new Entities(["LOC", "ORG", "PER"], () => {});
  document.body.replaceChildren(entities.legend, entities.text);
  entities.show(text, spans);
  await new Promise(requestAnimationFrame);
  return document.querySelectorAll("mark").length;
}"""
SCROLL = """async (frames) => {
  const long = [...document.querySelectorAll("*")].filter((each) => each.scrollHeight > each.clientHeight + 1000);
  const box = long.find((each) => getComputedStyle(each).overflowY !== "visible") ?? document.scrollingElement;
  const begun = performance.now(), times = [];
  for (let step = 0; step < frames; step++) {
    box.scrollTop += 400;
    await new Promise(requestAnimationFrame);
    times.push(performance.now());
  }
  return times.map((time, step) => time - (step ? times[step - 1] : begun));
}"""


def serve_ours() -> str:
    """The files of our page on a free port of loopback, below /page/ as `reformer serve` has them."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            name = urlsplit(path).path.removeprefix("/page/").strip("/")
            return str(PAGE / (name or "index.html"))

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def serve_gradio() -> str:
    """Gradio with a button that shows the document."""
    import gradio

    text = LINE * LINES
    entities = [
        {"start": at + start, "end": at + end, "entity": label}
        for at in range(0, len(text), len(LINE))
        for start, end, label in PLACES
    ]
    with gradio.Blocks(analytics_enabled=False) as blocks:
        button = gradio.Button("show")
        shown = gradio.HighlightedText()
        button.click(lambda: {"text": text, "entities": entities}, None, shown)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    return url


def measure(browser: Any, url: str, show: Any) -> dict[str, Any]:
    """The figures of a page in a tab of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    own, fetched, others = urlsplit(url).netloc, [0], set[str]()

    def note(request: Any) -> None:
        host = urlsplit(request.url).netloc
        if host and host != own:
            others.add(host)
        elif host:
            fetched[0] += request.sizes()["responseBodySize"]

    context.route(lambda address: urlsplit(address).netloc not in ("", own), lambda route: route.abort())
    page.on("requestfailed", lambda request: others.add(urlsplit(request.url).netloc))
    page.on("requestfinished", note)
    session = context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")

    def seconds() -> float:
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return found["TaskDuration"]

    page.goto(url, wait_until="networkidle")
    loaded, weight, begun, clock = seconds(), fetched[0], seconds(), time.perf_counter()
    count = show(page)
    shown, waited, begun_scroll = seconds() - begun, time.perf_counter() - clock, seconds()
    frames = page.evaluate(SCROLL, FRAMES)
    scrolled = seconds() - begun_scroll
    context.close()
    return {
        "bytes_of_the_page": weight,
        "other_hosts_asked": sorted(others - {own}),
        "processor_seconds_to_load": round(loaded, 3),
        "processor_seconds_to_show": round(shown, 3),
        "seconds_to_show": round(waited, 3),
        "entities_in_the_page": count,
        "processor_milliseconds_a_frame": round(1000 * scrolled / FRAMES, 2),
        "median_milliseconds_between_frames": round(statistics.median(frames), 1),
        "longest_milliseconds_between_frames": round(max(frames), 1),
    }


def show_ours(page: Any) -> int:
    return page.evaluate(OURS, [LINE, LINES, PLACES])


def show_gradio(page: Any) -> int:
    marks = "() => document.querySelectorAll('.textspan.hl, .textfield .hl').length"
    page.get_by_role("button", name="show").click()
    page.wait_for_function(f"({marks})() >= {LINES * len(PLACES)}", timeout=240_000)
    page.evaluate("() => new Promise(requestAnimationFrame)")
    return page.evaluate(marks)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    import gradio
    from playwright.sync_api import sync_playwright

    ways = {"ours": (serve_ours(), show_ours), "gradio": (serve_gradio(), show_gradio)}
    figures: dict[str, Any] = {"gradio_version": gradio.__version__, "characters": len(LINE) * LINES}
    figures |= {way: [] for way in ways}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        figures["chromium_version"] = browser.version
        for _ in range(given.turns):
            for way, (url, show) in ways.items():
                figures[way].append(measure(browser, url, show))
        browser.close()
    text = json.dumps(figures, indent=2)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
