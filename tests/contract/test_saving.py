"""save -> load -> same outputs, bit for bit; weights that do not fit are an error; only safetensors."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForTokenClassification

from reformer.models import ReformerConfig, ReformerForSequenceClassification, ReformerForTokenClassification
from reformer.models.configuration.remote_code import MODULE
from tests.contract.models import HEADS, every_head_and_variant, outputs, random_ids


@every_head_and_variant
def test_loading_gives_the_same_outputs_bit_for_bit(head, variant, tmp_path):
    model, ids = head.build(variant), random_ids(2, 30)
    model.save_pretrained(tmp_path)
    loaded = head.model.from_pretrained(tmp_path)
    assert torch.equal(outputs(loaded, ids), outputs(model, ids))
    assert {file.name for file in tmp_path.iterdir() if "model" in file.name} == {"model.safetensors", f"{MODULE}.py"}


def test_the_auto_classes_know_it(tmp_path):
    model, ids = HEADS["token-classification"].build(), random_ids(1, 9)
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), ReformerConfig)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert isinstance(loaded, ReformerForTokenClassification)
    assert torch.equal(outputs(loaded, ids), outputs(model, ids))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("classifier.weight"), "missing in the checkpoint: classifier.weight"),
        (lambda w: w.pop("reformer.norm.bias"), "missing in the checkpoint: reformer.norm.bias"),
        (lambda w: w.update(extra=torch.ones(1)), "unknown to the model: extra"),
        (lambda w: w.update({"classifier.bias": torch.ones(9)}), "of another shape: classifier.bias"),
    ],
)
def test_weights_that_do_not_fit_are_an_error(change, message, tmp_path):
    HEADS["token-classification"].build().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ValueError, match=message):
        ReformerForTokenClassification.from_pretrained(tmp_path)


def test_another_head_has_to_be_asked_for(tmp_path):
    model = HEADS["masked-lm"].build()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lm_head"):
        ReformerForSequenceClassification.from_pretrained(tmp_path)
    other = ReformerForSequenceClassification.from_pretrained(tmp_path, new_head=True)
    ours, theirs = model.reformer.state_dict(), other.reformer.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_shapes_may_differ_where_that_is_asked_for(tmp_path):
    """As in transformers, whose report names them, and whose error for others is a `RuntimeError`."""
    model = HEADS["token-classification"].build()
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match=r"of another shape: classifier\.bias, classifier\.weight"):
        ReformerForTokenClassification.from_pretrained(tmp_path, num_labels=42)
    other = ReformerForTokenClassification.from_pretrained(tmp_path, num_labels=42, ignore_mismatched_sizes=True)
    assert other.classifier.out_features == 42
    ours, theirs = model.reformer.state_dict(), other.reformer.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    model.reformer.save_pretrained(tmp_path / "backbone")
    with pytest.raises(ValueError, match=r"missing in the checkpoint: classifier\.bias"):
        ReformerForTokenClassification.from_pretrained(tmp_path / "backbone", ignore_mismatched_sizes=True)


def test_a_pickle_is_never_read(tmp_path):
    model = HEADS["token-classification"].build()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        ReformerForTokenClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="use_safetensors=False"):
        ReformerForTokenClassification.from_pretrained(tmp_path, use_safetensors=False)
