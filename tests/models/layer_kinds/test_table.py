"""Layer kinds: a kind is its layer, its adapter and one line of the table, and nothing else knows of it."""

import re
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

import reformer
from reformer.finetuning import GroupLasso, keep_heads, keep_layers, widen
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.models.layer_kinds import LAYER_KINDS, LayerKind, kind_of
from reformer.nn import Channels, Layer
from tests.contract.models import HEADS, SMALL, random_ids


class RunningMean(Layer):
    """The mean of the tokens so far, mapped to the stream."""

    stream_channels: ClassVar = {"output.weight": {0: Channels.EACH, 1: Channels.SUMMED}}

    def __init__(self, hidden_size):
        super().__init__()
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, hidden, tokens, replay, memory=None):
        means = hidden.cumsum(1) / torch.arange(1, hidden.shape[1] + 1)[:, None]
        return self.output(means) * self.strength

    def reset_learned(self):
        nn.init.ones_(self.strength)

    @property
    def output_maps(self):
        return (self.output,)


class RunningMeanKind(LayerKind):
    options = ("patch_size",)

    def check(self, fields):
        if fields.hidden_size == 13:
            raise ValueError("hidden_size=13: expected a width that is not unlucky")

    def check_layer(self, fields, layer):
        if not fields.is_decoder:
            raise ValueError(f"attention_layers has {layer!r}, which is causal; set is_decoder")

    def build(self, fields, layer):
        return RunningMean(fields.hidden_size)


@pytest.fixture
def running_mean(monkeypatch):
    monkeypatch.setitem(LAYER_KINDS, "running-mean", RunningMeanKind())


def _config(**options):
    fields = {**SMALL, "attention_layers": ["running-mean", "local", "running-mean"], "is_decoder": True}
    return ReformerConfig(**(fields | options))


@pytest.mark.usefixtures("running_mean")
def test_a_kind_that_is_registered_in_one_place_trains():
    model, ids = ReformerForTokenClassification(_config()).train(), random_ids(2, 19)
    layer = model.reformer.encoder.sublayers[0].function
    assert isinstance(layer, RunningMean)
    assert layer.strength == 1
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(4):
        loss = model(input_ids=ids, labels=ids % 5).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert layer.strength != 1


@pytest.mark.usefixtures("running_mean")
def test_its_checks_and_options_are_the_configurations():
    with pytest.raises(ValueError, match="hidden_size=13: expected a width that is not unlucky"):
        _config(hidden_size=13)
    with pytest.raises(ValueError, match="'running-mean', which is causal; set is_decoder"):
        _config(is_decoder=False)
    with pytest.raises(ValueError, match='patch_size=2 has no effect without a layer of the kind "running-mean"'):
        _config(attention_layers=["local"], patch_size=2)
    with pytest.raises(ValueError, match="attention_layers has 'running-mean'; expected 'full'"):
        _config(attention_layers=[["running-mean", "local"]])


@pytest.mark.usefixtures("running_mean")
def test_a_model_with_it_is_saved_pruned_shrunk_and_widened(tmp_path):
    model, ids = ReformerForTokenClassification(_config()).eval(), random_ids(2, 19)
    model.save_pretrained(tmp_path)
    loaded = ReformerForTokenClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert (widen(model, 64)(ids).logits - model(ids).logits).abs().max() < 1e-4
    assert len(keep_layers(model, [0, 1]).config.attention_layers) == 2
    assert keep_heads(model, [[], [1], []]).config.attention_layers[1] == ["none", "local"]
    before = model.reformer.encoder.sublayers[0].function.output.weight.norm().item()
    GroupLasso(model, layers=0.1).shrink(0.1)
    assert model.reformer.encoder.sublayers[0].function.output.weight.norm() < before


def test_an_unknown_kind_is_refused_with_the_known_ones():
    known = re.escape(", ".join(map(repr, LAYER_KINDS)))
    with pytest.raises(ValueError, match=f"attention_layers has 'nonsense'; expected {known}"):
        HEADS["causal-lm"].build("local", attention_layers=["nonsense"])


def test_a_layer_of_several_kinds_has_the_adapter_of_its_heads():
    assert kind_of(["none", "lsh", "local"]) is LAYER_KINDS["local"]


def test_a_kind_is_named_by_its_layer_its_adapter_and_the_table_alone():
    source = Path(reformer.__file__).parent
    naming = {str(file.relative_to(source)) for file in source.rglob("*.py") if '"fourier"' in file.read_text("utf-8")}
    # The second says which kind it cannot write.
    documented = {"models/configuration/fields.py", "export/graphs.py"}
    assert naming - documented == {"nn/fourier.py", "models/layer_kinds/fourier.py", "models/layer_kinds/table.py"}
