import pytest

from reformer.data import Span


def entities(document):
    return [(document.text[span.start : span.end], span.label) for span in document.spans]


def test_characters_make_documents_with_exact_spans(read):
    found = read("a.bio", "去 O\n北 B-LOC\n京 I-LOC\n上 B-LOC\n海 I-LOC\n\n\n-DOCSTART- O\n\n李 B-PER\n")
    assert found.texts == ["去北京上海", "李"]
    assert [entities(document) for document in found.documents] == [
        [("北京", "LOC"), ("上海", "LOC")],
        [("李", "PER")],
    ]
    assert [document.id for document in found.documents] == ["a.bio:1", "a.bio:10"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["EU", "rejects", "German", "call", "."], "EU rejects German call ."),
        (["使用", "Hugging", "Face", "的", "模型", "v5"], "使用Hugging Face的模型v5"),
        (["版", "A", "B", "1"], "版AB1"),
        (["東京", "タワー"], "東京タワー"),
        (["안녕", "세상"], "안녕 세상"),
    ],
)
def test_words_are_written_as_their_script_is(read, words, text):
    lines = "".join(f"{word}\tB-X\n" for word in words)
    [document] = read("a.conll", lines).documents
    assert document.text == text
    assert [found for found, _ in entities(document)] == words


def test_the_first_column_is_the_word_and_the_last_its_tag(read):
    [document] = read("a.conll", "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n").documents
    assert (document.text, entities(document)) == ("EU rejects", [("EU", "ORG")])


def test_a_space_may_be_a_word(read):
    [document] = read("a.conll", "京\tB-LOC\n \tI-LOC\n都\tI-LOC\n\u3000\tO\n府\tO\n").documents
    assert document.text == "京 都\u3000府"
    assert document.spans == (Span(0, 3, "LOC"),)


def test_spaces_beside_a_tab_and_full_width_ones_of_tags_are_of_no_word(read):
    [document] = read("a.conll", "EU \t B-ORG\nrejects\tO\n王\tB-人名\u3000\n明\tI-人名\n").documents
    assert entities(document) == [("EU", "ORG"), ("王明", "人名")]
    [document] = read("a.conll", "王\t\tB-PER\n明\t\tI-PER\n").documents
    assert entities(document) == [("王明", "PER")]


def test_iob1_and_iob2_mean_the_same(read):
    iob1 = read("a.iob", "京 I-LOC\n都 I-LOC\n海 B-LOC\n李 I-PER\n")
    iob2 = read("b.iob", "京 B-LOC\n都 I-LOC\n海 B-LOC\n李 B-PER\n")
    assert iob1.documents[0].spans == iob2.documents[0].spans


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("北", "'北' is not a word and its tag"),
        ("\tO", "'\\tO' is not a word and its tag"),
        ("北 B-", "the last column is 'B-', which is no tag as the others are; write O, B-TYPE and I-TYPE"),
        ("北 -LOC", "the last column is '-LOC'"),
        ("北 0", "the tag is '0', the digit, where O is written as a letter; write O, or give --repair"),
        ("北 NR B-LOC", "'北 NR B-LOC' has 3 columns, and others have 2; name the columns"),
    ],
)
def test_a_bad_line_is_told_once_and_its_sentence_passed_over(read, line, problem):
    found = read("a.conll", f"去 O\n{line}\n{line}\n\n好 O\n天 O\n气 B-X\n")
    assert found.texts == ["好天气"]
    [error] = found.errors
    assert error.startswith(f"a.conll:2: {problem}")
