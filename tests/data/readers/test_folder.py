"""Folders: of text files by class, and of the datasets library; Parquet."""

import json
from types import SimpleNamespace

import pytest

from reformer.data import DataError, file_format, read_documents

pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture
def folder(tmp_path):
    for name, text in {"pos/10.txt": "很好", "pos/9.txt": "好", "neg/1_2.txt": "差", "neg/.hidden.txt": "x"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_class_is_the_folder(folder):
    found = [(each.text, each.label, each.id) for each in read_documents(folder)]
    assert found == [("差", "neg", "neg/1_2.txt"), ("好", "pos", "pos/9.txt"), ("很好", "pos", "pos/10.txt")]
    assert {each.label for each in read_documents(folder, label_column=None)} == {None}


def test_a_file_beside_the_classes_is_told(folder):
    (folder / "readme.txt").write_text("about", encoding="utf-8")
    errors = []
    assert len(list(read_documents(folder, on_error=errors.append))) == 3
    [error] = errors
    assert "readme.txt: the file lies beside the folders of the classes neg, pos" in str(error)


def test_parts_of_a_data_set_are_no_classes(folder):
    (folder / "pos").rename(folder / "train")
    with pytest.raises(DataError, match="its folders train are parts of a data set, no classes"):
        list(read_documents(folder))


def test_a_folder_without_texts_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"no file of text \(.txt\).*one folder of .txt files for each class"):
        list(read_documents(tmp_path))


@pytest.fixture
def table():
    from pyarrow import Table

    columns = {"text": ["好", "差"], "label": [1, 0], "extra": [1.5, None]}
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    kept = {"huggingface": json.dumps({"info": {"features": features}})}
    named = Table.from_pydict(columns)
    return SimpleNamespace(named=named.replace_schema_metadata(kept), plain=named)


@pytest.mark.parametrize(("kind", "labels"), [("named", ["pos", "neg"]), ("plain", ["1", "0"])])
def test_parquet_has_the_names_of_its_classes(tmp_path, table, kind, labels):
    from pyarrow import parquet

    parquet.write_table(getattr(table, kind), tmp_path / "a.parquet")
    found = list(read_documents(tmp_path / "a.parquet"))
    assert [(each.text, each.label, each.id) for each in found] == [
        ("好", labels[0], "a.parquet:1"),
        ("差", labels[1], "a.parquet:2"),
    ]


def test_a_folder_of_the_datasets_library(tmp_path, table):
    from pyarrow import ipc

    part = tmp_path / "train"
    part.mkdir()
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (part / "state.json").write_text("{}")
    with ipc.new_stream(part / "data-00000-of-00001.arrow", table.named.schema) as stream:
        stream.write_table(table.named)
    assert [each.label for each in read_documents(part)] == ["pos", "neg"]
    assert file_format(str(part)) == "parquet"
    with pytest.raises(DataError, match="the folder has several parts; give one of them: train"):
        list(read_documents(tmp_path))


def test_a_broken_parquet_file_is_told(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read"):
        list(read_documents(tmp_path / "a.parquet"))
