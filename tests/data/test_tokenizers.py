import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from reformer.data import DataError, byte_tokenizer, character_tokenizer, load_tokenizer

HARD = "中文😀 naïve\r\n\t<0x41>[MASK][PAD]  ▁Ġ\u3000e\u0301 👩‍👩‍👧\x00 , . 's 龘\n"

TOKENIZERS = {"characters": character_tokenizer(["中文 na\n<0x41>"] * 2), "bytes": byte_tokenizer()}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]


@given(st.text(st.characters(exclude_categories=["Cs"])))
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_text_comes_back_with_offsets_of_whole_characters(kind, text):
    tokenizer = TOKENIZERS[kind]
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded.input_ids) == text
    assert sorted(set(encoded.offset_mapping)) == [(number, number + 1) for number in range(len(text))]
    assert tokenizer.unk_token_id not in encoded.input_ids


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    expected = tokenizer(HARD, return_offsets_mapping=True)
    for loaded in (AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)):
        found = loaded(HARD, return_offsets_mapping=True)
        assert found.input_ids == expected.input_ids
        assert found.offset_mapping == expected.offset_mapping
        assert loaded.decode(found.input_ids) == HARD
        assert loaded.special_tokens_map == tokenizer.special_tokens_map
        assert loaded.model_max_length == tokenizer.model_max_length


def test_special_tokens_in_a_text_are_text_unless_asked_for(tokenizer):
    assert tokenizer.mask_token_id not in tokenizer("a[MASK]").input_ids
    assert tokenizer.mask_token_id in tokenizer("a[MASK]", split_special_tokens=False).input_ids


def test_padding_is_masked(tokenizer):
    batch = tokenizer(["aa", "a"], padding=True)
    assert batch.input_ids[1][1] == tokenizer.pad_token_id
    assert batch.attention_mask == [[1, 1], [1, 0]]


def test_a_long_text_is_fast_and_gives_no_warning(tokenizer, caplog):
    text = "中文，na\n" * 20_000
    begin = time.perf_counter()
    encoded = tokenizer(text, return_offsets_mapping=True)
    # A hundred times what it takes, so that a busy machine does not fail it; a quadratic one would.
    assert time.perf_counter() - begin < 30
    assert encoded.offset_mapping[-1][1] == len(text)
    assert not caplog.records


def test_bytes_have_fixed_numbers():
    tokenizer = byte_tokenizer()
    assert tokenizer("Aé").input_ids == [5 + byte for byte in "Aé".encode()]
    assert len(tokenizer) == 261


def test_the_vocabulary_is_the_most_frequent_characters():
    tokenizer = character_tokenizer(["cccbba", "d"], vocab_size=263)
    assert tokenizer.convert_ids_to_tokens([261, 262]) == ["c", "b"]
    assert len(character_tokenizer(["cccbba"], min_frequency=2)) == 263


def test_the_vocabulary_does_not_hang_on_the_order_of_the_texts():
    assert character_tokenizer(["ab", "c"]).get_vocab() == character_tokenizer(["c", "ba"]).get_vocab()


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(ValueError, match=r"vocab_size is 260; .* need 261"):
        character_tokenizer([], vocab_size=260)


def test_loading_says_what_is_missing(tmp_path):
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    for name, problem in [
        ("none", "no such folder"),
        ("file.json", "this is a file"),
        ("empty", "no tokenizer could be loaded"),
        ("broken", "no tokenizer could be loaded"),
    ]:
        with pytest.raises(DataError, match=problem) as caught:
            load_tokenizer(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)


def test_code_in_a_tokenizer_folder_is_not_run(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}'
    )
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    with contextlib.suppress(DataError):
        load_tokenizer(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_length_that_a_tokenizers_file_cuts_and_pads_to_is_lifted(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=5)
    tokenizer.save_pretrained(tmp_path)
    assert '"max_length": 5' in (tmp_path / "tokenizer.json").read_text()
    loaded = load_tokenizer(tmp_path).backend_tokenizer
    assert [len(loaded.encode(text).ids) for text in ("ab", "abcdefgh")] == [2, 8]
