"""Generation: the text of the tokens, whole characters as they come, and clear refusals."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from reformer.data import byte_tokenizer, character_tokenizer
from reformer.errors import ReformerError
from reformer.inference.text_generation import SamplingOptions, _Streamer, generate, prompt_ids
from tests.inference.untrained import untrained_run


@pytest.fixture
def run(tmp_path):
    return untrained_run(tmp_path, character_tokenizer(["ab 北京"]), max_position_embeddings=100)


@pytest.mark.parametrize("options", [{"greedy": True}, {"seed": 3}, {"seed": 3, "top_k": 5}, {"beams": 3}])
def test_what_is_given_out_is_the_text(run, options):
    parts = []
    before = torch.random.get_rng_state()
    text = generate(run, "北a".encode(), SamplingOptions(max_new_tokens=30, **options), parts.append)
    assert "".join(parts) == text
    assert text
    assert torch.equal(torch.random.get_rng_state(), before)
    assert generate(run, "北a".encode(), SamplingOptions(max_new_tokens=30, **options)) == text


def test_the_choice_follows_the_options(run):
    def made(**options) -> str:
        return generate(run, b"a", SamplingOptions(max_new_tokens=20, **options))

    assert made(seed=1) != made(seed=2)
    assert made(seed=1, top_k=1) == made(greedy=True) == made(seed=1, top_p=1e-6) == made(seed=1, temperature=1e-6)


def test_rounds_are_asked_of_models_that_hash(run, monkeypatch):
    usual, more = (
        generate(run, b"ab", SamplingOptions(max_new_tokens=30, greedy=True, num_rounds=n)) for n in (None, 6)
    )
    assert usual != more
    monkeypatch.setattr(run.model.config, "attention_layers", ["local"])
    with pytest.raises(ReformerError, match="6 hash rounds of a model that has no hashed layer"):
        generate(run, b"ab", SamplingOptions(num_rounds=6))


def test_no_character_is_given_out_in_parts():
    tokenizer = byte_tokenizer()
    parts = []
    streamer = _Streamer(tokenizer, parts.append)
    streamer.put(torch.tensor([[7, 8]]))
    for token in tokenizer("a北é").input_ids:
        streamer.put(torch.tensor([token]))
    # A byte that begins a character which never ends.
    streamer.put(torch.tensor([5 + 0xE4]))
    streamer.put(torch.tensor([5 + ord("b")]))
    streamer.put(torch.tensor([5 + 0xE4]))
    streamer.end()
    assert parts == ["a", "北", "é", "\ufffdb", "\ufffd"]


def test_tokens_of_another_kind_are_decoded_together():
    words = {"[UNK]": 0, "[PAD]": 1, "two": 2, "words": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    parts = []
    streamer = _Streamer(tokenizer, parts.append)
    streamer.put(torch.tensor([[2]]))
    for token in (2, 3, 3):
        streamer.put(torch.tensor([token]))
    streamer.end()
    assert "".join(parts) == "two words words"


def test_a_prompt_that_cannot_be_is_refused(run, tmp_path):
    with pytest.raises(ReformerError, match="the prompt is empty"):
        prompt_ids(run, b"")
    with pytest.raises(ReformerError, match="byte 1 of the prompt is not UTF-8"):
        prompt_ids(run, b"a\xff")
    with pytest.raises(ReformerError, match="a prompt of 90 tokens and 11 new ones are more than the 100 positions"):
        generate(run, b"a" * 90, SamplingOptions(max_new_tokens=11))
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "words").mkdir()
    words = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    other = untrained_run(tmp_path / "words", words)
    with pytest.raises(ReformerError, match=r"the prompt has 'xyz' at character 2, outside the model's vocabulary"):
        prompt_ids(other, b"a xyz")
    with pytest.raises(ReformerError, match="the prompt has no token"):
        prompt_ids(other, b"  ")


@pytest.mark.parametrize("options", [{"temperature": 1e-6}, {"temperature": 1e6}, {"seed": 0}, {"seed": 2**64 - 1}])
def test_options_at_their_bounds_are_taken(run, options):
    assert generate(run, b"a", SamplingOptions(max_new_tokens=3, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature 0.0: expected a number from 1e-06 to 1,000,000"),
        ({"temperature": float("inf")}, "temperature inf: expected a number from"),
        ({"temperature": float("nan")}, "temperature nan: expected a number from"),
        ({"temperature": 1e-300}, "temperature 1e-300: expected a number from"),
        ({"seed": 2**70}, "seed 1180591620717411303424: expected a whole number from 0"),
        ({"seed": -1}, "seed -1: expected a whole number from 0"),
        ({"top_p": 1.5}, "top-p 1.5: expected a probability"),
        ({"top_k": -1}, "a top-k of 0"),
        ({"greedy": True, "temperature": 0.5}, "leave out greedy and beams"),
        ({"beams": 2, "top_k": 5}, "leave out greedy and beams"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ReformerError, match=message):
        SamplingOptions(**options)
