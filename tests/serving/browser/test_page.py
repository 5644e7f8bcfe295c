"""The page in a browser: for each task an answer, its marks, and its download; the guide's pictures are made here."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.test_cli import reformer
from tests.serving.inputs import HOSTILE

PICTURES = os.environ.get("REFORMER_PICTURES")
"""Where the pictures of the guide are put."""
ARTICLE = "张伟去了北京的新华社。\n李华去了上海的人民日报社。王小明去了昌平区的新华社。"


@pytest.fixture
def page(browser, server):
    context = browser.new_context(locale="en-GB", viewport={"width": 1000, "height": 720}, color_scheme="light")
    page = context.new_page()
    page.problems, page.hosts = [], set()
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
    page.on("dialog", lambda dialog: page.problems.append(f"dialog {dialog.message}"))
    page.set_default_timeout(60_000)
    yield page
    assert page.problems == []
    # Nothing is fetched from another host.
    assert {host for host in page.hosts if host} <= {server.url.removeprefix("http://")}
    context.close()


def opened(page, server, run):
    page.goto(f"{server.url}/runs/{run}/page")
    page.wait_for_selector("#status[aria-busy=false]", state="attached")
    page.wait_for_selector("#view form")


def picture(page, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def ask(page):
    page.click("#view form button.main")
    page.wait_for_selector("#status[aria-busy=false]:not(:empty)")


def downloaded(page, form):
    with page.expect_download() as found:
        page.click(f"#view .row button:text-is('{form}')")
    return Path(found.value.path()).read_bytes()


@pytest.mark.parametrize("form", ["jsonl", "csv", "conll", "label-studio", "bmes"])
def test_what_is_downloaded_is_what_the_command_writes(page, server, folder, tmp_path, monkeypatch, form):
    opened(page, server, "entities")
    # CoNLL has no place for a line break.
    article = ARTICLE.replace("\n", "")
    page.fill("textarea[name=text]", article)
    ask(page)
    monkeypatch.chdir(tmp_path)
    Path("request.jsonl").write_text(json.dumps({"text": article}, ensure_ascii=False) + "\n", encoding="utf-8")
    options = () if form in ("jsonl", "csv") else ("--to", form)
    if form == "bmes":
        page.click("summary:text-is('other forms')")
    output = tmp_path / ("out.csv" if form == "csv" else "out")
    reformer("predict", folder / "runs/entities", "request.jsonl", "-o", output, *options)
    assert downloaded(page, form) == output.read_bytes()
    picture(page, "serve-entities")


def test_entities_are_marked_filtered_and_walked_through(page, server):
    opened(page, server, "entities")
    page.fill("textarea[name=text]", ARTICLE)
    ask(page)
    marks = page.locator("#view .text mark")
    assert marks.count() >= 5
    assert "PER" in marks.first.get_attribute("title")
    first = page.locator("#view mark:text-is('新华社')").first
    first.click()
    assert "occurrence 1 of 2" in page.inner_text("#status")
    # By the keyboard alone.
    page.keyboard.press("Enter")
    assert "occurrence 2 of 2" in page.inner_text("#status")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == "昌平区"
    page.click(".legend label:has-text('ORG')")
    assert page.locator("mark:text-is('新华社')").first.evaluate("mark => mark.classList.contains('off')")
    page.locator("input[type=range]").fill("1")
    assert page.locator("#view .text mark:not(.off)").count() == 0


def test_a_hostile_text_is_a_text(page, server):
    opened(page, server, "entities")
    page.fill("textarea[name=text]", HOSTILE)
    ask(page)
    assert page.evaluate("document.querySelector('#view .text').textContent") == HOSTILE
    assert page.locator("#view .text img, #view .text script, #view .text b").count() == 0


def test_classes_have_bars(page, server):
    opened(page, server, "classes")
    page.fill("textarea[name=text]", "很好满意，太好了")
    ask(page)
    assert page.locator(".bars meter").count() == 2
    assert page.inner_text("#view h2") in ("pos", "neg")
    picture(page, "serve-classes")


def test_an_answer_is_marked_in_its_document(page, server):
    opened(page, server, "answers")
    page.fill("textarea[name=question]", "甲有？")
    page.fill("textarea[name=context]", "😀甲有13梨。乙有25桃。")
    ask(page)
    answer = json.loads(downloaded(page, "jsonl"))
    if answer["answer"] is not None:
        assert page.inner_text("#view .text mark") == answer["answer"]
    assert "probability" in page.inner_text("#view h2")
    picture(page, "serve-answers")


def test_a_translation_stands_beside_its_source(page, server):
    opened(page, server, "pairs")
    page.fill("textarea[name=source]", "123")
    ask(page)
    answer = json.loads(downloaded(page, "jsonl"))
    assert page.locator(".sides p").all_inner_texts() == ["123", answer["target"]]
    picture(page, "serve-pairs")


@pytest.mark.parametrize("run", ["digits", "captions"])
def test_an_image_is_dropped(page, server, folder, run):
    opened(page, server, run)
    page.set_input_files("input[type=file]", folder / "image.png")
    page.wait_for_selector(".sides img")
    assert page.evaluate("document.querySelector('.sides img').naturalWidth") == 8
    answer = json.loads(downloaded(page, "jsonl"))
    assert answer["id"] == "image.png"
    shown = page.inner_text(".sides")
    assert str(answer.get("label", answer.get("caption"))) in shown
    picture(page, f"serve-{run}")


def test_a_forecast_is_drawn(page, server, folder, monkeypatch):
    opened(page, server, "series")
    page.set_input_files("input[type=file]", folder / "last.csv")
    page.wait_for_selector("svg .band")
    assert page.locator("svg").count() == 2
    monkeypatch.chdir(folder)
    expected = reformer("predict", folder / "runs/series", "last.csv").stdout
    assert downloaded(page, "jsonl").decode() == expected
    picture(page, "serve-series")


def test_a_text_goes_on_and_is_coloured(page, server):
    opened(page, server, "writer")
    page.fill("textarea[name=prompt]", "the river 北京 ")
    page.fill("input[name=max_tokens]", "40")
    page.fill("input[name=seed]", "1")
    ask(page)
    assert len(page.inner_text("pre .new")) > 5
    page.click("button:text-is('Colour by surprisal')")
    page.wait_for_selector(".text mark")
    assert "bits" in page.locator(".text mark").nth(3).get_attribute("title")
    assert page.evaluate("document.querySelector('.text').textContent").startswith("the river 北京 ")
    picture(page, "serve-writer")


def test_the_page_speaks_chinese_in_the_dark_on_a_phone_at_twice_the_size(browser, server):
    context = browser.new_context(locale="zh-CN", viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    opened(page, server, "entities")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    page.fill("textarea[name=text]", ARTICLE)
    page.click("#view form button.main")
    page.wait_for_selector("mark")
    assert page.inner_text("#view form button.main") == "回答"
    assert page.evaluate("document.documentElement.lang") == "zh"
    # Nothing sticks out at the side.
    wide = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    picture(page, "serve-phone")
    assert page.evaluate(f"{wide}.map(e => e.outerHTML.slice(0, 80))") == []
    back, ink = page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    assert back == "rgb(22, 22, 22)"
    assert ink == "rgb(230, 230, 230)"
    context.close()


def test_a_long_document_scrolls_without_stutter(page, server):
    """100,000 characters with 5,000 entities, by the processor time of the page's main thread for each frame."""
    opened(page, server, "entities")
    session = page.context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")

    def seconds():
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return found["TaskDuration"]

    begun = seconds()
    size = page.evaluate(
        """async () => {
          const { Entities } = await import("/page/marks.js");
          const line = "王小明去了昌平区的新华社。".padEnd(59, "的") + "\\n";
          const text = line.repeat(1667), spans = [];
          for (let at = 0; at < text.length; at += 60) {
            spans.push({ start: at, end: at + 3, label: "PER", text: "王小明", score: 0.9 });
            spans.push({ start: at + 5, end: at + 8, label: "LOC", text: "昌平区", score: 0.8 });
            spans.push({ start: at + 9, end: at + 12, label: "ORG", text: "新华社", score: 0.7 });
          }
          const entities = new Entities(["LOC", "ORG", "PER"], () => {});
          document.getElementById("view").replaceChildren(entities.legend, entities.text);
          entities.show(text, spans);
          await new Promise(requestAnimationFrame);
          return [text.length, spans.length];
        }"""
    )
    shown, begun = seconds() - begun, seconds()
    page.evaluate(
        """async () => {
          const box = document.querySelector("#view .text");
          for (let step = 0; step < 60; step++) {
            box.scrollTop += 400;
            await new Promise(requestAnimationFrame);
          }
        }"""
    )
    frame = (seconds() - begun) / 60
    print(f"{size}: shown in {shown:.2f} s, a frame of scrolling {1000 * frame:.1f} ms of processor time")
    assert size[0] >= 100_000
    assert size[1] >= 5000
    # Sixty frames a second leave 16.7 ms to each.
    assert frame < 0.0167
    assert shown < 2
