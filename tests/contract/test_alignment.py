"""Alignment of loaded weights: elsewhere than at multiples of 64 bytes, some processors round products differently."""

import gc
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
)

from reformer.finetuning import Adapter, Base, add_lora, load_pretrained, transfer
from reformer.models import ReformerModel, alignment
from reformer.runs.loading import load_run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import InterruptedRunError, train
from tests.contract.models import HEADS, every_head, outputs, random_ids
from tests.tiny import ner_recipe
from tests.training.conftest import interrupt_at

__all__ = ["interrupt_at"]

AUTO = {
    "causal-lm": AutoModelForCausalLM,
    "masked-lm": AutoModelForMaskedLM,
    "token-classification": AutoModelForTokenClassification,
    "random-field": AutoModelForTokenClassification,
    "sequence-classification": AutoModelForSequenceClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "encoder-decoder": AutoModelForSeq2SeqLM,
}
QUIET = Console(quiet=True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")


def _unaligned(model: nn.Module) -> list[str]:
    return [
        name
        for name, tensor in chain(model.named_parameters(), model.named_buffers())
        if tensor.data_ptr() % alignment.ALIGNMENT
    ]


def _tied(model: nn.Module) -> set[frozenset[str]]:
    """The names of each parameter that has several."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


def test_weights_of_a_file_are_not_aligned_by_themselves(tmp_path):
    """Otherwise the tests below would hold whatever loading does."""
    HEADS["causal-lm"].build().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert any(weight.data_ptr() % alignment.ALIGNMENT for weight in weights.values())


@every_head
@pytest.mark.parametrize("variant", ["mixed", "shared", "ngrams"])
def test_a_loaded_model_is_aligned_and_tied_as_before(head, variant, tmp_path):
    model = head.build(variant)
    assert bool(_tied(model)) == (variant == "shared")
    model.save_pretrained(tmp_path)
    for loaded in (head.model.from_pretrained(tmp_path), load_pretrained(str(tmp_path))):
        assert not _unaligned(loaded)
        assert _tied(loaded) == _tied(model)


@pytest.mark.parametrize("name", AUTO)
def test_a_model_of_an_auto_class_is_aligned(name, tmp_path):
    HEADS[name].build().save_pretrained(tmp_path)
    assert not _unaligned(AUTO[name].from_pretrained(tmp_path))


def test_a_backbone_and_a_model_with_a_new_head_are_aligned(tmp_path):
    backbone = HEADS["masked-lm"].build("shared").reformer
    backbone.save_pretrained(tmp_path)
    for loaded in (ReformerModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert not _unaligned(loaded)
        assert _tied(loaded) == _tied(backbone)
    assert not _unaligned(HEADS["token-classification"].model.from_pretrained(tmp_path, new_head=True))


def test_a_transferred_model_and_a_merged_adapter_are_aligned(tmp_path):
    head = HEADS["token-classification"]
    head.build("mixed").save_pretrained(tmp_path / "base")
    base = load_pretrained(str(tmp_path / "base"))
    adapted = transfer(base, head.model, base.config).model
    assert not _unaligned(adapted)
    lora = add_lora(adapted, 3)
    (tmp_path / "adapter").mkdir()
    Adapter.of(adapted, lora, Base.at(str(tmp_path / "base")), ()).save_pretrained(tmp_path / "adapter")
    assert not _unaligned(load_pretrained(str(tmp_path / "adapter")))


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}])
def test_a_resumed_model_and_the_best_one_are_aligned(tmp_path, interrupt_at, monkeypatch, options):
    recipe = checked_recipe(ner_recipe(tmp_path, **options))
    interrupt_at(5)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "run", console=QUIET)
    monkeypatch.undo()
    found, resumed, trained = [], Trainer._load_from_checkpoint, Trainer.train

    def note_resumed(self, *args, **kwargs):
        resumed(self, *args, **kwargs)
        found.append(_unaligned(self.model))

    def note_trained(self, *args, **kwargs):
        trained(self, *args, **kwargs)
        found.append(_unaligned(self.model))

    monkeypatch.setattr(Trainer, "_load_from_checkpoint", note_resumed)
    monkeypatch.setattr(Trainer, "train", note_trained)
    train(recipe, tmp_path / "run", resume=True, console=QUIET)
    assert found == [[], []]
    assert not _unaligned(load_run(tmp_path / "run").model)


@linux
def test_the_files_mapping_is_released(tmp_path):
    model, ids = HEADS["causal-lm"].build("shared"), random_ids(1, 20)
    model.save_pretrained(tmp_path)
    loaded = HEADS["causal-lm"].model.from_pretrained(tmp_path)
    gc.collect()
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    expected = outputs(loaded, ids)
    # Whoever writes over the file does not change the model.
    (tmp_path / "model.safetensors").write_bytes(bytes((tmp_path / "model.safetensors").stat().st_size))
    assert torch.equal(outputs(loaded, ids), expected)


def test_one_tensor_is_copied_at_a_time(tmp_path, monkeypatch):
    """A copy takes the place of its original before the next one is made: no large model is held twice."""
    HEADS["causal-lm"].build("heads").save_pretrained(tmp_path)
    module = nn.Module()
    for number, weight in enumerate(load_file(tmp_path / "model.safetensors").values()):
        if number % 2:
            module.register_buffer(f"buffer_{number}", weight)
        else:
            module.register_parameter(f"parameter_{number}", nn.Parameter(weight))
    left, aligned = [], alignment.aligned

    def note(tensor):
        moved = aligned(tensor)
        left.append(sum(_is_mapped(other) for other in chain(module.parameters(), module.buffers())))
        return moved

    monkeypatch.setattr(alignment, "aligned", note)
    alignment.align(module)
    assert left == list(range(len(left), 0, -1))


def _is_mapped(tensor: torch.Tensor) -> bool:
    return not tensor.untyped_storage().resizable()


def test_what_is_aligned_stays_where_it_is():
    model = HEADS["causal-lm"].build()
    before = [tensor.data_ptr() for tensor in chain(model.parameters(), model.buffers())]
    alignment.align(model)
    assert [tensor.data_ptr() for tensor in chain(model.parameters(), model.buffers())] == before
