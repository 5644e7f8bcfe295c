"""Pages with documents in colours: every text is a text, and what was missed or wrong is told apart."""

import re

from reformer.data import Document, Span
from reformer.metrics.calibration import Calibration
from reformer.metrics.marked import MarkedDocument, MarkedSpan, lines
from reformer.metrics.review import MOST_CHARACTERS, Review
from reformer.report.page import marked_page, report_page
from reformer.tasks.documents.review import marked_spans, review_spans

HOSTILE = "<img src=x onerror=alert(1)>\n😀北京"


def test_a_hostile_text_is_escaped_and_its_spans_are_marked():
    spans = [MarkedSpan(0, 4, '"><script>', 0.5, "found"), MarkedSpan(30, 32, "LOC", None, "found")]
    page = marked_page("a<b>", [MarkedDocument("<i>", HOSTILE, spans)]).decode()
    assert "<img" not in page
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert re.findall(r"<mark[^>]*>([^<]*)</mark>", page) == ["&lt;img", "北京"]
    assert "missed" not in page.split("</style>")[1]


def test_pieces_are_those_of_spans_that_lie_over_each_other():
    spans = [MarkedSpan(0, 4, "A", None, "found"), MarkedSpan(1, 2, "B", None, "found")]
    [line] = lines(MarkedDocument("a", "abcde", spans))
    assert [(piece.text, [span.label for span in piece.spans], piece.ends) for piece in line] == [
        ("a", ["A"], False),
        ("b", ["A", "B"], True),
        ("cd", ["A"], True),
        ("e", [], False),
    ]


def test_marks_say_what_is_right_wrong_and_missed():
    found = [Span(0, 1, "A", 0.9), Span(2, 3, "B", 0.8)]
    known = [Span(0, 1, "A"), Span(4, 5, "A")]
    assert [(mark.start, mark.kind) for mark in marked_spans(found, known)] == [
        (0, "right"),
        (2, "wrong"),
        (4, "missed"),
    ]
    assert [mark.kind for mark in marked_spans(found, None)] == ["found", "found"]
    assert [mark.kind for mark in marked_spans(found, [])] == ["wrong", "wrong"]


def test_a_report_shows_the_first_documents_with_mistakes():
    review = Review(["A", "B"], "no entity")
    for number, text in enumerate(["aaaa", "bbbb", "c" * MOST_CHARACTERS]):
        known = [Span(0, 1, "A")] if number else []
        review_spans(review, Document(text, f"d{number}"), [], known)
    assert [document.id for document in review.documents] == ["d1"]
    page = report_page("a", {"test": review}, Calibration()).decode()
    assert "Documents with mistakes" in page
    assert re.findall(r'<mark class="c0 missed"[^>]*>(.)</mark>', page) == ["b"]
