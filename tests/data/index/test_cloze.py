"""Cloze questions: a sentence whose name is left out, and the page that has it."""

from reformer.data import Document, Span
from reformer.data.index._cloze import BLANK, QUESTIONS_TO_A_PAGE, read_cloze


def test_a_name_is_left_out_of_a_sentence_and_stays_in_the_page():
    texts = [f"第{number}天，王小明同志从北京来到了上海市工作。" for number in range(9)]
    spans = tuple(
        Span(text.index(name), text.index(name) + len(name), "X") for text in texts[:1] for name in ("王小明", "北京")
    )
    documents = [Document(text, str(number), spans=spans) for number, text in enumerate(texts)]
    found = read_cloze({"train": documents}, 200)["train"]
    assert len(found) == QUESTIONS_TO_A_PAGE * 2 or len({question.document for question in found}) < len(found)
    for question in found:
        [(start, end)] = question.answers
        assert question.text.replace(BLANK, question.document[start:end]) in question.document
        assert question.document[start:end] in ("王小明", "北京")
    assert found == read_cloze({"train": documents}, 200)["train"]
