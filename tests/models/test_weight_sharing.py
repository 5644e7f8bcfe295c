"""Weights used several times: each layer's own part, gradients, files, and loading."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from reformer.models import ReformerForCausalLM, ReformerForMaskedLM
from tests.contract.models import HEADS, outputs, random_ids


def test_layers_share_weights_and_keep_what_is_their_own():
    model = HEADS["masked-lm"].build("shared")
    first, second = (model.reformer.encoder.sublayers[number] for number in (4, 10))
    assert second.function.query_key.weight is first.function.query_key.weight
    assert second.norm.weight is not first.norm.weight
    assert not torch.equal(second.function.rotation_0, first.function.rotation_0)
    convolution, feed_forward = model.reformer.encoder.sublayers[9], model.reformer.encoder.sublayers[11]
    assert convolution.function.depthwise is model.reformer.encoder.sublayers[3].function.depthwise
    assert feed_forward.function.inner.bias is not model.reformer.encoder.sublayers[5].function.inner.bias


@pytest.mark.parametrize("reversible", [True, False])
def test_a_gradient_is_the_sum_over_the_uses(reversible):
    options = {"hidden_dropout_prob": 0.0, "reversible": reversible}
    shared = HEADS["masked-lm"].build("shared", **options).double()
    alone = HEADS["masked-lm"].build("shared", num_distinct_layers=None, tie_word_embeddings=True, **options).double()
    alone.load_state_dict(shared.state_dict())
    ids = random_ids(2, 21)
    for model in (shared, alone):
        model(input_ids=ids, labels=ids).loss.backward()
    parameters = dict(alone.named_parameters())
    replaced = shared.reformer.get_expanded_tied_weights_keys()
    assert replaced
    expected = {name: parameter.grad for name, parameter in parameters.items()}
    for mine, theirs in replaced.items():
        expected[f"reformer.{theirs}"] = expected[f"reformer.{theirs}"] + expected.pop(f"reformer.{mine}")
    found = {name: parameter.grad for name, parameter in shared.named_parameters()}
    assert found.keys() == expected.keys()
    assert all((found[name] - expected[name]).abs().max() < 1e-12 for name in found)


def test_shared_weights_are_stored_once(tmp_path):
    model = HEADS["masked-lm"].build("shared")
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in stored
    assert stored.keys() == {*dict(model.named_parameters()), *dict(model.named_buffers())}
    loaded = ReformerForMaskedLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.reformer.embeddings.weight
    weights = [loaded.reformer.encoder.sublayers[number].function.output.weight for number in (1, 7)]
    assert weights[0] is weights[1]


def test_weights_that_differ_are_not_taken_for_shared(tmp_path):
    model = HEADS["causal-lm"].build("shared", num_distinct_layers=None)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"not equal to what they share: .*sublayers\.6.function.depthwise"):
        ReformerForCausalLM.from_pretrained(tmp_path, num_distinct_layers=2)


@pytest.mark.parametrize("name", ["reformer.encoder.sublayers.1.function.output.weight", "reformer.embeddings.weight"])
def test_a_shared_weight_that_is_missing_is_an_error(name, tmp_path):
    HEADS["causal-lm"].build("shared").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"missing in the checkpoint: .*{name}"):
        ReformerForCausalLM.from_pretrained(tmp_path)


def test_more_tokens_keep_the_embeddings_tied():
    model = HEADS["causal-lm"].build("shared")
    model.resize_token_embeddings(50)
    assert model.lm_head.weight is model.reformer.embeddings.weight
    assert outputs(model, random_ids(1, 5)).shape == (1, 5, 50)
