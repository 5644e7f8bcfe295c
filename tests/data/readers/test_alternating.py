from reformer.data.readers import _alternating


def pairs(found):
    return [(document.label, document.text) for document in found.documents]


def test_one_line_or_many(read):
    expected = [("a", "一"), ("b", "二\u3000三"), ("a", "四")]
    assert pairs(read("f", "a 一 b 二\u3000三 a 四", format="alternating")) == expected
    found = read("f", "a 一\tb  二\u3000三\r\n\na 四\n", format="alternating")
    assert pairs(found) == expected
    assert [document.id for document in found.documents] == ["f:1:1", "f:1:2", "f:3:1"]


def test_words_are_whole_over_the_ends_of_chunks(read, monkeypatch):
    content = "甲 一二三 乙 四五六\n丙 七\n"
    expected = [("甲", "一二三"), ("乙", "四五六"), ("丙", "七")]
    for size in range(1, len(content.encode()) + 1):
        monkeypatch.setattr(_alternating, "_CHUNK", max(size, 4))
        assert pairs(read("f", "\ufeff" + content, format="alternating")) == expected


def test_a_label_without_a_sentence_is_told(read):
    found = read("f", "a 一 b\na 二\nb", format="alternating")
    assert pairs(found) == [("a", "一"), ("a", "二")]
    assert [error.split(";")[0] for error in found.errors] == [
        "f:1: an odd number of words: the last one, 'b', has no sentence",
        "f:3: an odd number of words: the last one, 'b', has no sentence",
    ]
