"""Files of an object store are read as those of a disk are."""

import gzip

import pytest

from reformer.cli.request import request_of
from reformer.data import read_documents
from reformer.data.errors import DataError
from reformer.data.inputs import find_inputs
from reformer.data.remote import url_state
from reformer.tasks.predict_options import PredictOptions
from tests.data.object_store import object_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    (folder / "bucket/texts/more").mkdir(parents=True)
    for number in (2, 10):
        (folder / f"bucket/texts/{number}.jsonl").write_text(f'{{"text": "{number}"}}\n{{broken\n', encoding="utf-8")
    (folder / "bucket/texts/more/a.csv.gz").write_bytes(gzip.compress("text\n北京\n".encode()))
    (folder / "bucket/texts/.hidden.jsonl").write_text('{"text": "x"}')
    (folder / "bucket/texts/words.conll").write_text("北 B-LOC\n京 I-LOC\n", encoding="utf-8")
    with object_store(folder) as environment:
        yield folder / "bucket/texts", environment


@pytest.fixture
def texts(store, monkeypatch):
    folder, environment = store
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return folder


def _found(*given):
    return find_inputs(given, lambda file: file.removesuffix(".gz").endswith((".jsonl", ".csv", ".conll")))


def test_folders_and_patterns_stand_for_files(texts):
    own = [f"s3://bucket/texts/{name}" for name in ("words.conll", "2.jsonl", "10.jsonl")]
    assert _found("s3://bucket/texts") == [*own, "s3://bucket/texts/more/a.csv.gz"]
    assert _found("s3://bucket/texts/*.jsonl") == own[1:]
    assert _found("s3://bucket/**/*.gz") == ["s3://bucket/texts/more/a.csv.gz"]
    assert _found("s3://bucket/texts/2.jsonl") == [own[1]]


def test_every_format_is_read(texts):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": ["甲", "乙"]}), texts / "b.parquet")
    errors = []
    found = [
        document.text
        for file in ("2.jsonl", "more/a.csv.gz", "b.parquet", "words.conll")
        for document in read_documents(f"s3://bucket/texts/{file}", label_column=None, on_error=errors.append)
    ]
    (texts / "b.parquet").unlink()
    assert found == ["2", "北京", "甲", "乙", "北京"]
    [error] = errors
    assert str(error).startswith("s3://bucket/texts/2.jsonl:2: broken JSON")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/none.jsonl", "there is no such file"),
        ("s3://bucket/texts/*.xyz", "nothing in it or that it matches"),
        ("s3://", "names no bucket"),
        ("https://example.org/a.jsonl", "https:// is not read; give a file, or one of s3"),
    ],
)
def test_what_is_not_there_is_told(texts, url, told):
    with pytest.raises(DataError, match=told):
        _found(url)


@pytest.mark.slow  # its client asks again and again
def test_a_store_that_does_not_answer_is_told(texts, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError, match=r"cannot be asked for .*; check the name, the network and the credentials"):
        _found("s3://bucket/texts/2.jsonl")


def test_a_changed_file_is_another_request(texts, tmp_path):
    def request():
        return request_of(tmp_path, ["s3://bucket/texts/2.jsonl"], PredictOptions(), {}, resume=True)

    before = request()
    assert request() == before
    with (texts / "2.jsonl").open("a") as file:
        file.write("\n")
    assert request() != before
    assert url_state("s3://bucket/texts/none") is None
