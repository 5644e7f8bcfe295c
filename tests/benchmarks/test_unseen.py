"""Unseen sets: their records are read as they are written and split once and for all, and the commands run on them."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import pytest

from benchmarks import unseen
from benchmarks.unseen_sets import UNSEEN, files
from reformer.data import read_documents


def _tar(content: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return data.getvalue()


SENSES = "\t\tсамолёта\t1\t1\nлевый\t винт \tправый\t1\t1\nа\tвинт\tб\t1\t2\nа\tвинт\tб\t0\t0\n"
CONTENT = {
    "bbc-news": ({"a/bbcnews/data/tech/1.txt": b"Chips"}, [("Chips", "tech")]),
    "web-articles": ({"a/dev.pkl": pickle.dumps((["T"], ["one\\ntwo"], [2]))}, [("T\none\ntwo", "2")]),
    "tweets": ({"a/corpora/b.csv": b"sentiment,confidence,text\nneutral,1,\"a, b\"\n"}, [("a, b", "neutral")]),
    "mails": ({"a/examples/test_dataset/ham/1.txt": b"Hello \xff"}, [("Hello \ufffd", "ham")]),
    "kaomoji": (
        {"a/kaomoji.jsonl.gz": gzip.compress(b'{"text": "(^^)", "category": "happy"}\n'
                                             b'{"text": "o_o", "category": "uncategorized"}\n')},
        [("(^^)", "happy")],
    ),
    "word-senses": (
        {"a/RuTenTen/винт.txt": SENSES.encode()},
        [("левый винт правый", "винт 1")],
    ),
    "product-sentences": (
        {"a/hutto_ICWSM_2014.tar.gz": _tar({"hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt":
                                            b"1_1\t0.5\tgood\n1_2\t-0.4\tso\n1_3\t-2\tbad\n"})},
        [("good", "positive"), ("so", "neutral"), ("bad", "negative")],
    ),
    "dialogue-languages": (
        {"a/data/spanish/b.yml": "categories:\n- x\nconversations:\n- - Hola\n  - \"¿Cómo estás?\"\n".encode()},
        [("Hola", "spanish"), ("¿Cómo estás?", "spanish")],
    ),
    "encyclopedia-entities": ({"a/iob_sents.txt": "東京\tX\tB-LOC\nで\tY\tO\n\nは\tY\tO\n".encode()},
                              [[("東京", "B-LOC"), ("で", "O")], [("は", "O")]]),
    "tweet-entities": ({"a/data/ner.txt": b"Hi\tO\nBob\tB-person\n\t\nYo\tO\n"},
                       [[("Hi", "O"), ("Bob", "B-person")], [("Yo", "O")]]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_each_set_is_read_as_it_is_written(tmp_path, name):
    content, expected = CONTENT[name]
    entry = UNSEEN[name]
    path = tmp_path / entry.archive.file
    content = content | {"a/setup.py": b"raise SystemExit", "a/README.txt": b"?"}
    if path.name.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
    else:
        path.write_bytes(_tar(content))
    assert list(entry.read(files(path, entry.holds))) == expected


def test_a_split_depends_on_the_texts_alone():
    found = [(f"text {number}", "ab"[number % 2]) for number in range(100)]
    parts = unseen.split(found)
    assert len(parts["test"]) == 20
    assert sorted(parts["train"] + parts["test"]) == sorted(found)
    assert unseen.split(found[::-1]) == parts
    # A first part has both classes, whatever the order was.
    sorted_by_class = unseen.split(sorted(found, key=lambda record: record[1]))
    assert {label for _, label in sorted_by_class["train"][:10]} == {"a", "b"}
    sentences = [[(str(number), "O")] for number in range(50)]
    assert unseen.split(sentences)["train"] == [
        each for each in sentences if each not in unseen.split(sentences)["test"]
    ]


def test_texts_are_kept_once_and_small_classes_left_out(tmp_path):
    rows = ["sentiment,confidence,text", *(f"up,1,a {n}" for n in range(12)), "up,1,a 0", "down,1,b", "up,1, "]
    (tmp_path / "x.tar.gz").write_bytes(_tar({"x/corpora/a.csv": "\n".join(rows).encode()}))
    found = unseen.records(UNSEEN["tweets"], tmp_path / "x.tar.gz")
    assert found == [(f"a {n}", "up") for n in range(12)]


def test_files_say_what_the_records_say(tmp_path):
    texts = [('a "b", c', "x"), ("one\rtwo\nthree", "y")]
    path = unseen.write_files(UNSEEN["tweets"], tmp_path, {"train": texts})["train"]
    documents = list(read_documents(path))
    assert [(document.text, document.label) for document in documents] == texts
    shown = unseen.figures(UNSEEN["tweets"], documents)
    assert (shown["documents"], shown["median_length"], shown["longest"], shown["classes"]) == (2, 10, 13, 2)
    tagged = [[("Hi", "O"), ("Bob", "B-person")], [("Yo", "O")]]
    path = unseen.write_files(UNSEEN["tweet-entities"], tmp_path, {"train": tagged})["train"]
    first, second = read_documents(path)
    assert (first.text, second.text) == ("Hi Bob", "Yo")
    assert [(first.text[span.start : span.end], span.label) for span in first.spans] == [("Bob", "person")]
    assert unseen.figures(UNSEEN["tweet-entities"], [first, second])["classes"] == 1


def _row(name: str, score: float) -> dict:
    known = {"set": name, "task": "token-classification", "language": "Latin", "documents": 1200, "median_length": 30}
    return known | {"classes": 4, "minutes": 15, "test": {"f1": score}, "baseline": {"test": {"f1": 0.5}}}


def test_a_row_takes_the_place_of_an_earlier_one(tmp_path):
    for row in (_row("b", 0.1), _row("a", 0.2), _row("b", 0.75)):
        unseen.add(row, tmp_path / "unseen.json")
    result = json.loads((tmp_path / "unseen.json").read_text("utf-8"))
    assert [(row["set"], row["test"]["f1"]) for row in result["rows"]] == [("a", 0.2), ("b", 0.75)]
    assert unseen.table(result).splitlines()[-1] == "| b | Latin | 1,200 | 30 | 4 | f1 0.7500 | 0.5000 | 15 |"


def test_a_set_that_is_not_there_is_an_error(capsys):
    with pytest.raises(SystemExit):
        unseen.main(["nonsense"])
    assert "there is no set nonsense; there are bbc-news" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_that_of_the_two_commands(tmp_path, monkeypatch):
    rows = [f'{{"text": "{"^o"[n % 2] * 3}{n:03}({n})", "category": "{"ab"[n % 2]}"}}' for n in range(120)]
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("a/kaomoji.jsonl.gz", gzip.compress("\n".join(rows).encode()))
    monkeypatch.setattr(unseen, "archive_path", lambda *_, **__: tmp_path / "a.whl")
    few = ["training.max_steps=2", "training.num_evaluations=1"]
    row = unseen.run(UNSEEN["kaomoji"], tmp_path / "run", 1, few, 1)
    assert row["documents"] == 120
    assert row["recipe"]["training"]["task"] == "sequence-classification"
    assert row["test"]["documents"] == 24
    assert row["training"]["steps"] == 2
    assert "| kaomoji | none | 120 |" in unseen.table({"rows": [row]})


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "documents", "classes"),
    [
        ("bbc-news", 2127, 5),
        ("web-articles", 7246, 3),
        ("tweets", 37243, 3),
        ("mails", 1179, 2),
        ("kaomoji", 66688, 50),
        ("word-senses", 2680, 25),
        ("product-sentences", 3697, 3),
        ("dialogue-languages", 13587, 28),
        ("encyclopedia-entities", 499, 8),
        ("tweet-entities", 2295, 10),
    ],
)
def test_the_real_sets_have_what_is_expected(tmp_path, name, documents, classes):
    found, paths = unseen.prepared(UNSEEN[name], tmp_path)
    assert (found["documents"], found["classes"]) == (documents, classes)
    parts = {part: list(read_documents(path)) for part, path in paths.items()}
    assert sum(map(len, parts.values())) == documents
    labels = {part: {document.label for document in found} for part, found in parts.items()}
    assert labels["test"] <= labels["train"]
    assert not {document.text for document in parts["train"]} & {document.text for document in parts["test"]}
