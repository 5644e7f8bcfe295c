"""Models of transformers with registered window attention, against their own eager attention."""

import copy

import pytest
import torch
from transformers import AttentionMaskInterface

from reformer.errors import ReformerError
from reformer.interop import register_attention
from tests.models.pretrained.shapes import VOCABULARY, build

MODELS = ("bert", "roberta", "modernbert", "qwen3")
LENGTH = 40


def _model(name, **options):
    found = build(name, attn_implementation="eager", **options)
    assert found.config._attn_implementation == "eager"
    return found


def _inputs(side):
    ids = torch.randint(4, VOCABULARY, (2, LENGTH))
    mask = torch.ones_like(ids)
    if side == "right":
        mask[0, 27:] = 0
    elif side == "left":
        mask[0, :13] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 1), "attention_mask": mask}


def _hidden(model, inputs):
    return model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]


def _with(model, name):
    found = copy.deepcopy(model)
    found.set_attn_implementation(name)
    assert found.config._attn_implementation == name
    return found


@pytest.mark.parametrize("side", ["none", "right", "left"])
@pytest.mark.parametrize("name", MODELS)
def test_without_a_window_it_is_the_models_own_attention_and_its_gradients(name, side):
    theirs, inputs = _model(name), _inputs(side)
    ours = _with(theirs, register_attention())
    expected, found = _hidden(theirs, inputs), _hidden(ours, inputs)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    weights = torch.randn_like(expected)
    for hidden in (expected, found):
        (hidden * weights).sum().backward()
    pairs = zip(theirs.named_parameters(), ours.parameters(), strict=True)
    compared = [(place, left.grad, right.grad) for (place, left), right in pairs if left.grad is not None]
    assert len(compared) > 10
    # A bias of keys has no gradient but what rounding leaves of others.
    largest = max(float(left.abs().max()) for _, left, _ in compared)
    for place, left, right in compared:
        assert (left - right).abs().max() <= 1e-4 * left.abs().max() + 1e-5 * largest, place


def _band(mask, window, *, causal, ends):
    """Which key each query sees, as a mask of four dimensions, which transformers adds to the scores."""
    places = torch.where(mask.bool(), mask.cumsum(-1) - 1, -(10**6))
    distance = places[:, :, None] - places[:, None]
    seen = (distance >= 0) & (distance < window) if causal else distance.abs() < window
    if ends:
        seen |= ((places == 0) | (places == mask.sum(-1, keepdim=True) - 1))[:, None]
    seen = (seen & mask.bool()[:, None]) | torch.eye(mask.shape[1], dtype=torch.bool)
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]


# A causal model has no end to see.
@pytest.mark.parametrize(
    ("name", "ends"), [("bert", False), ("bert", True), ("roberta", False), ("roberta", True), ("qwen3", False)]
)
@pytest.mark.parametrize("side", ["none", "right", "left"])
@torch.no_grad()
def test_a_window_is_a_band_of_the_models_own_attention(name, side, ends):
    causal = name == "qwen3"
    theirs, inputs = _model(name), _inputs(side)
    ours = _with(theirs, register_attention(6, ends=ends))
    mask = inputs["attention_mask"]
    band = inputs | {"attention_mask": _band(mask, 6, causal=causal, ends=ends)}
    expected = theirs(**band).last_hidden_state[mask.bool()]
    assert (_hidden(ours, inputs) - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (_hidden(theirs, inputs) - expected).abs().max() > 0.05


@torch.no_grad()
def test_layers_with_a_smaller_window_of_their_own_keep_it():
    theirs, inputs = _model("modernbert", layer_types=["sliding_attention"] * 3), _inputs("right")
    expected = _hidden(theirs, inputs)
    for name in (register_attention(30), register_attention(30, ends=True)):
        assert (_hidden(_with(theirs, name), inputs) - expected).abs().max() < 1e-4
    assert (_hidden(_with(theirs, register_attention(2)), inputs) - expected).abs().max() > 0.05


def test_names_say_the_window():
    names = (register_attention(), register_attention(64), register_attention(64, ends=True))
    assert names == ("reformer", "reformer-64", "reformer-64-ends")


@pytest.mark.parametrize(
    ("options", "message"), [({"window": 0}, "window=0: expected at least 1"), ({"ends": True}, "give window too")]
)
def test_windows_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ReformerError, match=message):
        register_attention(**options)


def _refused(model, message, **inputs):
    model.set_attn_implementation(register_attention(8))
    with pytest.raises(ReformerError, match=message):
        model(**({"input_ids": torch.randint(4, VOCABULARY, (1, 20))} | inputs))


def test_dropout_of_attention_weights_is_refused_in_training():
    model = build("bert", attention_probs_dropout_prob=0.1).train()
    _refused(model, "dropout of 0.1 of the attention weights")
    model.eval()(torch.randint(4, VOCABULARY, (1, 20)))


@pytest.mark.parametrize("name", ["bert", "qwen3"])
def test_attention_weights_are_refused(name):
    _refused(build(name), "output_attentions=True: window attention never holds", output_attentions=True)


@pytest.mark.parametrize("name", ["bert", "qwen3"])
def test_masks_of_four_dimensions_are_refused(name):
    mask = torch.zeros(1, 1, 20, 20)
    _refused(build(name), r"attention_mask has shape \(1, 1, 20, 20\)", attention_mask=mask)


def test_packed_sequences_are_refused():
    places = torch.cat((torch.arange(12), torch.arange(8)))[None]
    _refused(build("qwen3"), "packed sequences", position_ids=places, use_cache=False)


def test_chunks_of_a_mask_are_refused():
    def in_chunks(batch, head, query, key):
        return (query // 8 == key // 8) & (key <= query)

    see = AttentionMaskInterface()[register_attention(8)]
    with pytest.raises(ReformerError, match="packed sequences, chunks"):
        see(2, 20, 20, mask_function=in_chunks)
    assert see(2, 20, 20, mask_function=lambda batch, head, query, key: key <= query) is None


def test_caches_are_refused():
    model, ids = build("qwen3", "causal"), torch.randint(4, VOCABULARY, (1, 20))
    eager = model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=1)
    model.set_attn_implementation(register_attention(64))
    with pytest.raises(ReformerError, match=r"1 queries and 21 keys.*use_cache=False"):
        model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=1)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 1, "use_cache": False}
    assert torch.equal(model.generate(ids, **options), eager)


def test_the_ends_of_a_causal_model_are_refused():
    model = build("qwen3")
    model.set_attn_implementation(register_attention(8, ends=True))
    with pytest.raises(ReformerError, match="ends=True for a causal model"):
        model(torch.randint(4, VOCABULARY, (1, 20)))
