"""A vocabulary cut to what texts need reads these texts as before."""

import json

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from reformer.data import DataError, byte_tokenizer
from reformer.data.vocabulary import used_vocabulary

TEXTS = ["北京人在北京", "hello hello world"]


def _wrapped(model, template, **names):
    backend = Tokenizer(model)
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace() if "<s>" in template else pre_tokenizers.BertPreTokenizer()
    ends = [(token, backend.token_to_id(token)) for token in template.split() if token != "$A"]
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def unigram():
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "北京",
        "▁北京",
        "京",
        "人",
        "在",
        "海",
        "▁hello",
        "▁world",
        "or",
        "й",
    ]
    vocabulary = [(piece, 0.0 if number < 4 else -1.0 - number / 10) for number, piece in enumerate(pieces)]
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _wrapped(
        models.Unigram([*vocabulary, ("<mask>", 0.0)], 3, False), "<s> $A </s>", mask_token="<mask>", **names
    )


def word_piece():
    pieces = [
        "[PAD]",
        "[UNK]",
        "й",
        "[CLS]",
        "[SEP]",
        "北",
        "##京",
        "京",
        "北京",
        "hello",
        "##or",
        "world",
        "人",
        "在",
        "##海",
    ]
    model = models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]")
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _wrapped(model, "[CLS] $A [SEP]", **names)


@pytest.mark.parametrize("make", [unigram, word_piece])
def test_the_texts_are_cut_into_the_same_pieces(make):
    whole = make()
    cut, kept = used_vocabulary(whole, TEXTS, reserve=0)
    assert kept == sorted(kept)
    assert len(cut) == len(kept) < len(whole)
    assert cut.convert_ids_to_tokens(list(range(len(cut)))) == whole.convert_ids_to_tokens(kept)
    for text in TEXTS:
        before, now = (tokenizer(text, return_offsets_mapping=True) for tokenizer in (whole, cut))
        assert [kept[number] for number in now.input_ids] == before.input_ids
        assert now.offset_mapping == before.offset_mapping
    assert cut.special_tokens_map == whole.special_tokens_map


@pytest.mark.parametrize("make", [unigram, word_piece])
def test_characters_of_the_scripts_stay_and_others_go(make):
    cut, _ = used_vocabulary(make(), TEXTS, reserve=0)
    pieces = set(cut.get_vocab())
    assert {"海", "##海"} & pieces
    assert not {"й", "or", "##or"} & pieces
    whole, _ = used_vocabulary(make(), TEXTS, reserve=99)
    assert "й" in whole.get_vocab()


@pytest.mark.parametrize("make", [unigram, word_piece])
def test_it_is_saved_and_loaded(make, tmp_path):
    cut, _ = used_vocabulary(make(), TEXTS, reserve=0)
    cut.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert again(TEXTS).input_ids == cut(TEXTS).input_ids
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["type"]


def test_merged_pieces_cannot_go():
    with pytest.raises(DataError, match="of the kind BPE is built of merges"):
        used_vocabulary(byte_tokenizer(), TEXTS)
