import pytest

from reformer.data import DATA_SETS, DataError, load, load_source
from reformer.tasks.images.captioning import ImageToText
from reformer.tasks.images.classification import ImageClassification
from reformer.tasks.question_answering.task import CLOZE


def test_unknown_names_list_those_there_are():
    with pytest.raises(DataError, match="there is no data set 'weibo'; use one of people-daily, people-daily-words,"):
        load("weibo")
    with pytest.raises(DataError, match="there is no split 'dev'; use one of train, validation, test"):
        load("msra-ner", split="dev")
    with pytest.raises(DataError, match="there is no data set 'weibo'"):
        list(load_source("index:weibo"))


def test_bytes_have_no_documents():
    with pytest.raises(DataError, match=r"has no documents; use fetch\('enwik8'\) and read enwik8\.gz"):
        load("enwik8")


def test_every_data_set_is_pinned():
    for name, entry in DATA_SETS.items():
        assert entry.name == name
        assert entry.licence
        if entry.archive is None:
            assert not entry.members
        else:
            assert len(entry.archive.sha256) == 64
            assert entry.archive.version in entry.archive.file


def test_every_data_set_that_a_recipe_may_name_is_registered():
    assert {f"index:{name}" for name in DATA_SETS} >= {CLOZE, ImageClassification.source, ImageToText.source}
    for name in ("digits", "digit-captions", "people-daily-cloze"):
        with pytest.raises(DataError, match=rf"the data set '{name}' has no documents; use load_"):
            load(name)


def test_a_source_may_be_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("body,class\none,x\n")
    path = str(tmp_path / "a.csv")
    [document] = load_source(path, text_column="body", label_column="class")
    assert (document.text, document.label) == ("one", "x")
    errors = []
    assert not list(load_source(path, format="jsonl", on_error=errors.append))
    assert len(errors) == 2


def test_a_split_goes_with_a_data_set_alone(tmp_path):
    with pytest.raises(DataError, match="names no split; name one of train"):
        list(load_source("index:people-daily"))
    with pytest.raises(DataError, match=r"a\.csv: a file has no splits, and 'test' was asked for"):
        list(load_source("a.csv", split="test"))
