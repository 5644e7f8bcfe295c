"""The report: whatever the texts are, they are text, and nothing is fetched."""

import re
from html.parser import HTMLParser

import pytest

from reformer.data import Document, Span
from reformer.metrics.calibration import Calibration
from reformer.metrics.review import MOST_MISTAKES, Review
from reformer.report.page import MOST_CLASSES, confusions, report_page
from reformer.tasks.documents.review import OUTSIDE, review_class, review_labels, review_spans

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% for a in b %}",
    "</td></table><h1>",
    "&amp;&lt;",
    "javascript:alert(1)",
    "\u202eright to left\x00\x1b[31m",
    "\udc80 half a byte",
    "</style><style>@import url(http://example.org)",
]


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def _parsed(page):
    parser = _Tags()
    parser.feed(page.decode("utf-8"))
    return parser


def _review(names, texts):
    review = Review(names, OUTSIDE)
    for text in texts:
        name = names[0]
        document = Document(f"前{text}后 {text}", text)
        predicted = [Span(1, 1 + len(text), name, 0.9)]
        true = [Span(1, 1 + len(text), names[1]), Span(3 + len(text), 3 + 2 * len(text), name)]
        review_spans(review, document, predicted, true)
    review.metrics = {f"{names[0]}_f1": 0.5, "f1": 0.25, "documents": 1000}
    return review


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text):
    plain = report_page("title", {"test": _review(["a", "b"], ["x"])}, Calibration())
    page = report_page(text, {text: _review([text, "b"], [text])}, Calibration(None, text))
    assert _parsed(page).tags == _parsed(plain).tags
    assert [name for name, _ in _parsed(page).attributes] == [name for name, _ in _parsed(plain).attributes]
    shown = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\ufffd")
    assert shown in "".join(_parsed(page).texts).replace("\x00", "\ufffd")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_scores_of_the_baseline_by_training_documents_are_a_table(text):
    points = [
        {"documents": 500, "validation": {"f1": 0.25}},
        {"documents": 1000, "validation": {"f1": 0.5, f"class/{text}_f1": 0.75, "unknown/x": 3}},
        {"documents": 2000, "validation": {"f1": 0.375, f"class/{text}_f1": 1.0, "class/new_f1": 0.0, "unknown/x": 3}},
    ]
    floor = {"method": text, "test": None, "learning_curve": points}
    parts = {"test": _review(["a", "b"], ["x"])}
    parser = _parsed(report_page("t", parts, Calibration(), floor=floor))
    shown = text.encode("utf-8", "backslashreplace").decode()
    words = " ".join("|".join(parser.texts).split())
    section = words[words.index("More training documents") :].replace("\x00", "\ufffd")
    for expected in (
        ["Scores of ", shown, ", not of the model"],
        ["training documents", "500", "1,000", "2,000", "change"],
        ["f1", "0.2500", "0.5000", "0.3750", "-0.1250"],
        [f"class/{shown}_f1", "0.7500", "1.0000", "+0.2500"],
        ["class/new_f1", "0.0000", " "],
    ):
        assert "|".join(expected).replace("\x00", "\ufffd") in section
    assert "unknown/x" not in section
    without = _parsed(report_page("t", parts, Calibration(), floor=floor | {"learning_curve": None}))
    assert "More training documents" not in without.texts


def test_nothing_is_fetched():
    page = report_page("t", {"test": _review(["a", "b"], HOSTILE[:1])}, Calibration(1.5, None), curve=b"\x89PNG")
    parser = _parsed(page)
    assert not {"script", "link", "iframe", "object", "form"} & set(parser.tags)
    for name, value in parser.attributes:
        assert name not in ("href", "srcset", "action"), value
        assert name != "src" or value.startswith("data:image/png;base64,")
    assert re.search(r"default-src 'none'", page.decode())


def test_every_kind_of_mistake_is_told_in_its_place():
    text = "王明和李华在北京见赵云。"
    true = [Span(0, 2, "PER"), Span(3, 5, "PER"), Span(6, 8, "LOC"), Span(9, 11, "PER")]
    predicted = [Span(0, 2, "LOC", 0.6), Span(3, 6, "PER", 0.9), Span(6, 8, "LOC", 0.8), Span(8, 9, "LOC", 0.7)]
    review = Review(["LOC", "PER"], OUTSIDE)
    review_spans(review, Document(text, "d"), predicted, true)
    found = [(each.kind, each.text, each.true, each.predicted, each.score) for each in review.mistakes()]
    assert found == [
        ("other ends", "李华在", "PER: 李华", "PER", 0.9),
        ("invented", "见", OUTSIDE, "LOC", 0.7),
        ("mistyped", "王明", "PER", "LOC", 0.6),
        ("missed", "赵云", "PER", OUTSIDE, None),
    ]
    [missed] = [each for each in review.mistakes() if each.kind == "missed"]
    assert (missed.id, missed.before + missed.text + missed.after) == ("d 9:11", text)
    assert review.confusions.tolist() == [[1, 0, 0], [1, 0, 2], [1, 1, 0]]
    scores = {each.name: (each.precision, each.recall, each.support) for each in review.class_scores()}
    assert scores == {"LOC": (1 / 3, 1.0, 1), "PER": (0.0, 0.0, 3)}
    assert _shows(review, "见赵云")


def test_a_type_that_the_model_does_not_know_is_missed_where_all_types_count():
    for counts, kinds in ((True, ["missed"]), (False, [])):
        review = Review(["LOC"], OUTSIDE, counts_others=counts)
        review_spans(
            review, Document("王明在北京", "d"), [Span(3, 5, "LOC", 0.9)], [Span(0, 2, "PER"), Span(3, 5, "LOC")]
        )
        assert [each.kind for each in review.mistakes()] == kinds
        assert review.confusions.tolist() == [[1, 0], [0, 0]]


def test_a_class_that_the_model_does_not_know_is_a_mistake():
    review = Review(["a", "b"])
    review_class(review, Document("文", "1"), {"a": 0.9, "b": 0.1}, "a", "c")
    assert [(each.true, each.predicted) for each in review.mistakes()] == [("c", "a")]


def _shows(review, words):
    texts = "".join(_parsed(report_page("t", {"test": review}, Calibration())).texts)
    return words in texts


def test_the_most_confident_mistakes_are_kept_and_the_bound_is_told():
    review = Review(["a", "b"])
    for number in range(MOST_MISTAKES + 50):
        score = 0.5 + number / 1000
        review_class(review, Document("文", str(number)), {"a": score, "b": 1 - score}, "a", "b")
    kept = list(review.mistakes())
    assert len(kept) == MOST_MISTAKES
    assert kept[0].id == str(MOST_MISTAKES + 49)
    assert kept[-1].id == "50"
    assert review.mistake_counts == {"wrong class": MOST_MISTAKES + 50}
    assert _shows(review, f"the {MOST_MISTAKES} most confident are listed")


def test_labels_too_many_and_missing_are_mistakes():
    review = Review(["a", "b"])
    review_labels(review, Document("文", "1"), {"a": 0.9, "b": 0.2}, ("a",), ("b",))
    assert [(each.kind, each.score) for each in review.mistakes()] == [
        ("label too many: a", 0.9),
        ("label missing: b", 0.8),
    ]
    assert confusions(review) is None
    assert _shows(review, "label missing: b")


def test_of_many_classes_the_frequent_ones_are_shown():
    names = [str(number) for number in range(MOST_CLASSES + 5)]
    review = Review(names, OUTSIDE)
    for number, name in enumerate(names):
        review.confusions[number, number] = number
        assert name
    review.confusions[-1, 0] = 1000
    table = confusions(review)
    assert table["left_out"] == 6
    assert table["names"][-1] == OUTSIDE
    assert len(table["rows"]) == MOST_CLASSES
