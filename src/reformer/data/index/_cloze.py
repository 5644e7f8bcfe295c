"""Questions made of People's Daily: a sentence whose name is left out, and the page in which it stands."""

import random
from collections.abc import Iterator

from reformer.data.documents import Document, Span, join_documents
from reformer.data.questions import Question

BLANK = "＿"
QUESTIONS_TO_A_PAGE = 4
SHORTEST, LONGEST = 12, 60
"""Of a sentence that becomes a question, in characters."""

_ENDS = "。！？\n"


def read_cloze(splits: dict[str, list[Document]], page_length: int) -> dict[str, list[Question]]:
    """The questions of each split, in newspaper order.

    Neighbouring paragraphs make a page of at most `page_length` characters. Of each page some sentences with a name
    are taken, by a fixed seed, and one name of each is left out of the question; the page stays as it is. So the answer
    is found by finding the sentence: this asks for one place among many, and not for understanding.
    """
    pick = random.Random(0)
    return {
        name: [question for page in join_documents(documents, page_length) for question in _questions(page, pick)]
        for name, documents in splits.items()
    }


def _questions(page: Document, pick: random.Random) -> Iterator[Question]:
    found = [
        (begin, end, names) for begin, end, names in _sentences(page) if names and SHORTEST <= end - begin <= LONGEST
    ]
    for begin, end, names in sorted(pick.sample(found, min(QUESTIONS_TO_A_PAGE, len(found)))):
        name = pick.choice(names)
        text = page.text[begin : name.start] + BLANK + page.text[name.end : end]
        yield Question(text, page.text, f"{page.id}:{name.start}", ((name.start, name.end),), page.source)


def _sentences(page: Document) -> Iterator[tuple[int, int, list[Span]]]:
    """Where each sentence begins and ends, and the names in it."""
    begin, spans = 0, list(page.spans or ())
    for end in (place + 1 for place, letter in enumerate(page.text) if letter in _ENDS):
        yield begin, end, [span for span in spans if begin <= span.start and span.end <= end]
        begin = end
