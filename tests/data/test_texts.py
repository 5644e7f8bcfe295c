"""Running text as stretches of files and as token ids, whatever its size."""

import gzip
import os

import pytest

from reformer.data import (
    DataError,
    byte_ids_begin,
    byte_tokenizer,
    character_tokenizer,
    find_text,
    split_text,
    text_pieces,
    texts,
    token_bytes,
    token_ids,
)

TEXT = "北京 é\nline two\n" * 40


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_folder_is_its_files_one_after_the_other(tmp_path):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"two")
    (folder / "a.txt").write_bytes(b"one")
    (folder / "empty.txt").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"no")
    with gzip.open(folder / "deep" / "c.txt.gz", "wb") as packed:
        packed.write(b"three")
    ids = token_ids(find_text(str(folder)), byte_tokenizer())
    assert bytes((ids.read(0, 100) - 5).tolist()) == b"onetwothree"
    assert bytes((ids.read(2, 8) - 5).tolist()) == b"etwoth"
    assert (len(ids), ids.text_bytes) == (11, 11)


@pytest.mark.parametrize("size", [5, 7, 16, 1000])
def test_pieces_are_the_text_and_begin_where_they_say(file, size):
    [stretch] = find_text(str(file))
    pieces = list(text_pieces(stretch, size))
    assert "".join(piece for _, piece in pieces) == TEXT
    offset = 0
    for start, piece in pieces:
        assert start == offset
        assert len(piece.encode()) <= size
        offset += len(piece.encode())


def test_ids_of_characters_are_kept_in_the_cache(file, tmp_path):
    tokenizer = character_tokenizer([TEXT])
    ids = token_ids(find_text(str(file)), tokenizer)
    assert ids.read(0, len(ids)).tolist() == tokenizer(TEXT).input_ids
    assert ids.text_bytes == len(TEXT.encode())
    kept = list((tmp_path / "cache" / "tokens").glob("*.uint16"))
    assert len(kept) == 1
    token_ids(find_text(str(file)), tokenizer)
    assert list((tmp_path / "cache" / "tokens").glob("*.uint16")) == kept


@pytest.mark.parametrize("damage", ["changed", "shortened", "without a digest"])
def test_what_the_cache_holds_is_made_again_where_it_has_changed(damage, tmp_path):
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    tokenizer = character_tokenizer([TEXT])
    ids = token_ids(find_text(str(packed)), tokenizer)
    unpacked = (tmp_path / "cache/unpacked").glob("text.txt-*")
    [plain] = (path for path in unpacked if path.suffix != ".sha256")
    [tokens] = (tmp_path / "cache/tokens").glob("*.uint16")
    expected = ids.read(0, len(ids)).tolist()
    for file in (plain, tokens):
        status, data = file.stat(), file.read_bytes()
        if damage == "without a digest":
            file.with_name(f"{file.name}.sha256").unlink()
        file.write_bytes(bytes(len(data)) if damage != "shortened" else data[:2])
        # As a disk that fails does it: the time stays.
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = token_ids(find_text(str(packed)), tokenizer)
    assert plain.read_bytes() == TEXT.encode()
    assert again.read(0, len(again)).tolist() == expected


def test_a_compressed_file_that_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    packed = tmp_path / "bomb.txt.gz"
    packed.write_bytes(gzip.compress(bytes(1 << 23)))
    monkeypatch.setattr(texts, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(
        DataError, match=r"bomb\.txt\.gz: the compressed file holds over 1,\d{3},\d{3} bytes, more than 200"
    ):
        find_text(str(packed))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_text_is_split_between_two_characters(file):
    whole = find_text(str(file))
    before, after = split_text(whole, 1)
    assert (len(before[0]), sum(map(len, after))) == (3, len(TEXT.encode()) - 3)
    assert split_text([*whole, *whole], len(whole[0])) == (whole, whole)
    assert split_text(whole, 10**6) == (whole, [])


def test_a_tokenizer_tells_the_bytes_of_its_tokens():
    tokenizer = character_tokenizer(["北京"])
    table = token_bytes(tokenizer)
    assert table is not None
    assert b"".join(table[token] for token in tokenizer("北é").input_ids) == "北é".encode()
    assert byte_ids_begin(byte_tokenizer()) == 5
    assert byte_ids_begin(tokenizer) is None


def test_what_is_wrong_with_a_text_is_said(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        find_text(str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.txt: there is no text in it"):
        find_text(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(DataError, match=r"byte 3 is not UTF-8; .* tokenizer\.kind = byte"):
        token_ids(find_text(str(tmp_path / "latin.txt")), character_tokenizer(["a"]))
    (tmp_path / "broken.txt.gz").write_bytes(gzip.compress(b"a" * 1000)[:15])
    with pytest.raises(DataError, match="the compressed file is broken"):
        find_text(str(tmp_path / "broken.txt.gz"))
    if os.getuid():
        (tmp_path / "closed.txt").write_bytes(b"a")
        (tmp_path / "closed.txt").chmod(0)
        with pytest.raises(DataError, match="Permission denied"):
            find_text(str(tmp_path / "closed.txt"))


def test_a_file_that_becomes_shorter_is_named(file):
    ids = token_ids(find_text(str(file)), byte_tokenizer())
    os.truncate(file, 10)
    with pytest.raises(DataError, match=r"a\.txt: it has become shorter"):
        ids.read(0, 100)


def test_a_cache_that_cannot_be_written_is_named(file, tmp_path):
    (tmp_path / "cache").write_bytes(b"in the way")
    with pytest.raises(DataError, match=r"cannot be written .* REFORMER_CACHE"):
        token_ids(find_text(str(file)), character_tokenizer(["a"]))
