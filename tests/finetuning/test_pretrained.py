"""Trained models are read from any place that holds one, and a place that does not is named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from reformer.finetuning import FinetuningError, load_pretrained
from reformer.models import ReformerModel
from tests.contract.models import HEADS, every_head, outputs, random_ids


@every_head
def test_a_saved_model_comes_back_with_its_own_head(head, tmp_path):
    model, ids = head.build("mixed"), random_ids(2, 19)
    model.save_pretrained(tmp_path)
    loaded = load_pretrained(str(tmp_path))
    assert type(loaded) is type(model)
    assert torch.equal(outputs(loaded, ids), outputs(model, ids))


def test_a_bare_backbone_is_a_model_too(tmp_path):
    HEADS["masked-lm"].build().reformer.save_pretrained(tmp_path)
    assert isinstance(load_pretrained(str(tmp_path)), ReformerModel)


def test_a_name_that_is_no_folder_is_looked_up_on_the_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FinetuningError, match=r"some-one/some-model: there is no model to start from .*hub"):
        load_pretrained("some-one/some-model")


def test_a_place_without_a_model_is_named(tmp_path):
    with pytest.raises(FinetuningError, match=r"nowhere: there is no such folder"):
        load_pretrained(str(tmp_path / "nowhere"))
    with pytest.raises(FinetuningError, match=r"there is no model\.safetensors in this folder; give that of a run"):
        load_pretrained(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(FinetuningError, match=r"a model is a folder, and this is a file"):
        load_pretrained(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", "t5", r"this is a model of type 't5', expected 'reformer-torch' or one that can be .*: bert, "),
        (
            "architectures",
            ["Nonsense"],
            r"names the architecture \['Nonsense'\], expected one of .*ReformerFor",
        ),
        ("architectures", None, r"names the architecture \[\]"),
        ("architectures", 5, r"names the architecture 5, expected one of"),
        ("architectures", [["ReformerModel"]], r"names the architecture \[\['ReformerModel'\]\], expected one of"),
    ],
)
def test_another_kind_of_model_is_refused(field, value, message, tmp_path):
    HEADS["masked-lm"].build().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(FinetuningError, match=message):
        load_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("reformer.norm.bias"), "missing in the checkpoint: reformer.norm.bias"),
        (lambda w: w.update(extra=torch.ones(1)), "unknown to the model: extra"),
    ],
)
def test_weights_that_are_missing_or_unknown_are_named(change, message, tmp_path):
    HEADS["masked-lm"].build().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(FinetuningError, match=message):
        load_pretrained(str(tmp_path))


@pytest.mark.parametrize("text", ["[1]", "5", "null", '"model_type"', "[" * 100_000], ids=lambda text: text[:20])
def test_a_configuration_that_is_no_object_is_one_message(text, tmp_path):
    HEADS["masked-lm"].build().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(FinetuningError, match="there is no model to start from"):
        load_pretrained(str(tmp_path))
