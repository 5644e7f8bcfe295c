"""Characters beside pieces: every character has a piece, its own token, and a place."""

import numpy as np

from reformer.data.batching.encoding import pad_character_rows
from reformer.data.characters import CharacterTokens, token_characters
from tests.data.test_vocabulary import unigram, word_piece


def test_every_character_has_its_piece_its_token_and_its_place():
    tokenizer = unigram()
    text = "北京人在海"
    encoding = tokenizer(text, return_offsets_mapping=True)
    pieces = tokenizer.convert_ids_to_tokens(encoding.input_ids)
    rows = CharacterTokens(tokenizer)(text, encoding.offset_mapping)
    assert pieces == ["<s>", "▁北京", "人", "在", "海", "</s>"]
    assert rows[0].tolist() == [1, 1, 2, 3, 4]
    assert tokenizer.convert_ids_to_tokens(rows[1].tolist()) == ["<unk>", "京", "人", "在", "海"]
    assert rows[2].tolist() == [0, 1, 0, 0, 0]


def test_white_space_belongs_to_the_piece_before_it_or_the_first():
    tokenizer = word_piece()
    text = "  hello \nworld "
    encoding = tokenizer(text, return_offsets_mapping=True)
    rows = CharacterTokens(tokenizer)(text, encoding.offset_mapping)
    assert rows[0].tolist() == [1] * 9 + [2] * 6
    # A letter may be known as the rest of a word alone.
    assert tokenizer.convert_ids_to_tokens(CharacterTokens(tokenizer)("海", [(0, 1)])[1].tolist()) == ["##海"]


def test_texts_without_pieces_and_padding():
    rows = CharacterTokens(word_piece())("  ", [(0, 0)])
    assert rows[0].tolist() == [0, 0]
    batch = pad_character_rows([rows, np.ones((3, 3), dtype=np.int32)])
    assert batch["character_pieces"][:, :3].tolist() == [[0, 0, -1], [1, 1, 1]]
    assert (batch["character_pieces"][:, 3:] == -1).all()
    assert batch["character_places"][:, :3].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_tokens_are_spelled_by_their_characters_alone():
    for tokenizer, expected in (
        (unigram(), {"<s>": "", "<unk>": "\ufffd", "▁北京": " 北京", "人": "人"}),
        (word_piece(), {"[PAD]": "", "[UNK]": "\ufffd"}),
    ):
        rows = token_characters(tokenizer, len(tokenizer) + 2, 3)
        found = ["".join(chr(point - 1) for point in row if point) for row in rows]
        assert found[len(tokenizer) :] == ["", ""]
        vocabulary = tokenizer.get_vocab()
        assert {name: found[vocabulary[name]] for name in expected} == expected
        for name, number in vocabulary.items():
            if name not in tokenizer.all_special_tokens:
                plain = name.replace("##", "").replace("▁", "")
                assert found[number].strip() == plain[: 3 - found[number].startswith(" ")], name
