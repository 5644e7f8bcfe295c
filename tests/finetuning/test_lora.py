"""LoRA: adapters beside frozen projections, reversible gradients, and adapters saved, loaded and merged."""

import json
import shutil
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from reformer.finetuning import Adapter, Base, FinetuningError, add_lora, load_pretrained, merge_lora, transfer
from reformer.insight.doctor.gradients import plain_twin
from reformer.models import ReformerForTokenClassification
from tests.contract.models import HEADS, VARIANTS, outputs, random_ids

HEAD = HEADS["token-classification"]
apart = pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "shared"])


@torch.no_grad()
def _learn(model):
    """Let the adapters have learned something."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.3)


def _gradients(model, ids):
    torch.manual_seed(5)
    model.zero_grad()
    model(input_ids=ids, **HEAD.labels(ids)).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@apart
def test_reversible_gradients_equal_the_plain_twin(variant):
    model, ids = HEAD.build(variant, hidden_dropout_prob=0.2).double().train(), random_ids(2, 23)
    add_lora(model, 3, learned=["classifier.weight", "classifier.bias"])
    _learn(model)
    found, expected = _gradients(model, ids), _gradients(plain_twin(model), ids)
    learned = [name for name, gradient in expected.items() if gradient is not None]
    assert learned
    assert all("lora_" in name or name.startswith("classifier") for name in learned)
    for name, gradient in expected.items():
        assert (found[name] is None) == (gradient is None), name
        assert gradient is None or (found[name] - gradient).abs().max() < 1e-9, name


@apart
def test_at_first_nothing_has_changed_and_merging_changes_nothing(variant):
    model, ids = HEAD.build(variant).double(), random_ids(2, 23)
    before, names = outputs(model, ids), set(model.state_dict())
    add_lora(model, 2)
    assert (outputs(model, ids) - before).abs().max() < 1e-9
    _learn(model)
    moved = outputs(model, ids)
    assert (moved - before).abs().max() > 1e-3
    assert merge_lora(model) is model
    assert set(model.state_dict()) == names
    assert (outputs(model, ids) - moved).abs().max() < 1e-9
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gradients_hold_under_autocast():
    model, ids = HEAD.build("mixed", initializer_range=0.05).train(), random_ids(2, 23)
    add_lora(model, 3)
    _learn(model)
    found = []
    for twin in (model, plain_twin(model)):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            loss = twin(input_ids=ids, **HEAD.labels(ids)).loss
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999


# peft calls what transformers is about to rename.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_the_targets_are_names_as_peft_takes_them():
    model = HEAD.build("mixed")
    assert add_lora(model, 2, alpha=3.0, targets=["query", "inner"]).target_modules == {"query", "inner"}
    adapted = {name.partition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert {name.rpartition(".")[2] for name in adapted} == {"query", "inner"}
    theirs = get_peft_model(HEAD.build("mixed"), LoraConfig(r=2, target_modules=["query", "inner"]))
    names = {name.partition(".lora_A")[0] for name, _ in theirs.named_parameters() if ".lora_A" in name}
    assert names == {f"base_model.model.{name}" for name in adapted}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["querry"], "lora_targets has 'querry', .* its linear maps end with .*inner, key, outer, output, pointwise, "),
        (["classifier"], "lora_targets fits classifier, and only linear maps of the backbone"),
        (["embeddings"], r"lora_targets fits reformer\.embeddings"),
        (["norm"], "only linear maps"),
    ],
)
def test_a_target_that_cannot_be_adapted_is_named(targets, message):
    with pytest.raises(FinetuningError, match=message):
        add_lora(HEAD.build("mixed"), 2, targets=targets)


def test_layers_that_share_their_weights_are_refused():
    with pytest.raises(FinetuningError, match=r"num_distinct_layers=2: .* use LoRA before sharing, or freeze"):
        add_lora(HEAD.build("shared"), 2)


def test_without_peft_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(FinetuningError, match=r"pip install 'reformer-torch\[lora\]'"):
        add_lora(HEAD.build("mixed"), 2)


# As above.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("hidden_dropout", [0.0, 0.2])
def test_dropout_of_adapters_is_the_same_when_layers_run_again(hidden_dropout):
    ids = random_ids(2, 23)
    base = HEAD.build("mixed", hidden_dropout_prob=hidden_dropout, chunk_size_feed_forward=7)
    config = LoraConfig(r=2, target_modules=["value", "inner", "outer"], lora_dropout=0.3)
    model = get_peft_model(base, config).double().train()
    _learn(model)
    state = torch.get_rng_state()
    found, expected = _gradients(model, ids), _gradients(plain_twin(model), ids)
    compared = [name for name, gradient in expected.items() if gradient is not None]
    assert len(compared) > 10
    for name in compared:
        assert (found[name] - expected[name]).abs().max() < 1e-9, name
    torch.set_rng_state(state)
    first, second = (model(input_ids=ids, **HEAD.labels(ids)).loss for _ in range(2))
    assert first != second
    model.eval()
    first, second = (model(input_ids=ids, **HEAD.labels(ids)).loss for _ in range(2))
    assert first == second


def test_dropout_that_would_be_drawn_again_is_refused():
    ids, model = random_ids(2, 11), HEAD.build("mixed").train()
    for module in model.modules():
        if hasattr(module, "value"):
            module.value = nn.Sequential(module.value, nn.AlphaDropout(0.1))
    with pytest.raises(ValueError, match=r"value.1 is a AlphaDropout of 0.1 in a reversible layer: .* again"):
        model(input_ids=ids, **HEAD.labels(ids))


@pytest.fixture
def adapter(tmp_path):
    """The folders of a base and of an adapter, and the adapted model."""
    base = HEAD.build("mixed")
    base.save_pretrained(tmp_path / "base")
    labels = {number: str(number) for number in range(7)}
    config = type(base.config).from_dict(base.config.to_dict() | {"num_rounds": 3, "id2label": labels})
    found = transfer(base, ReformerForTokenClassification, config)
    lora_config = add_lora(found.model, 3, learned=found.new)
    _learn(found.model)
    folder = tmp_path / "adapter"
    folder.mkdir()
    Adapter.of(found.model, lora_config, Base.at(str(tmp_path / "base")), found.drawn).save_pretrained(folder)
    return tmp_path / "base", folder, found.model.eval()


def test_an_adapter_is_small_and_loaded_with_its_base(adapter):
    base, folder, model = adapter
    ids, state = random_ids(2, 23), torch.get_rng_state()
    loaded = load_pretrained(str(folder))
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.config.num_labels == 7
    assert (outputs(loaded, ids) - outputs(model, ids)).abs().max() < 1e-4
    size = sum(weight.numel() for weight in load_file(folder / "adapter_model.safetensors").values())
    assert size < sum(parameter.numel() for parameter in loaded.parameters()) / 3
    # An ordinary model again, which is saved and loaded as any other.
    loaded.save_pretrained(base.parent / "merged")
    again = ReformerForTokenClassification.from_pretrained(base.parent / "merged")
    assert torch.equal(outputs(again, ids), outputs(loaded, ids))


# peft calls what transformers is about to rename.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_peft_itself_reads_the_adapter(adapter):
    base, folder, model = adapter
    plain = transfer(load_pretrained(str(base)), ReformerForTokenClassification, model.config).model
    theirs, ids = PeftModel.from_pretrained(plain, str(folder)).eval(), random_ids(2, 23)
    with torch.no_grad():
        assert (theirs(input_ids=ids).logits - outputs(model, ids)).abs().max() < 1e-5


def test_an_adapter_without_its_base_is_refused(adapter):
    base, folder, _ = adapter
    weights = load_file(base / "model.safetensors")
    shutil.move(base, base.parent / "elsewhere")
    with pytest.raises(FinetuningError, match=r"this is an adapter of .*base, and there is no such folder"):
        load_pretrained(str(folder))
    shutil.move(base.parent / "elsewhere", base)
    weights["classifier.bias"] += 1
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(FinetuningError, match="whose weights are no longer those it was trained with"):
        load_pretrained(str(folder))


def test_weights_that_do_not_fit_are_named(adapter):
    _, folder, _ = adapter
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    first = next(name for name in weights if "lora_A" in name)
    save_file({name: weight for name, weight in weights.items() if name != first}, file)
    with pytest.raises(FinetuningError, match=f"missing in the adapter: {first.removeprefix('base_model.model.')}"):
        load_pretrained(str(folder))
    save_file(weights | {"base_model.model.nonsense": torch.zeros(1)}, file)
    with pytest.raises(FinetuningError, match="unknown to the model: nonsense"):
        load_pretrained(str(folder))
    save_file(weights | {first: weights[first][:, :1].contiguous()}, file)
    with pytest.raises(FinetuningError, match="of another shape"):
        load_pretrained(str(folder))


def test_another_kind_of_adapter_is_refused(adapter):
    _, folder, _ = adapter
    file = folder / "adapter_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({"peft_type": "IA3", "base_model_name_or_path": told["base_model_name_or_path"]}))
    with pytest.raises(FinetuningError, match=r"an adapter of kind .*IA3; expected LORA"):
        load_pretrained(str(folder))
    file.write_text("{")
    with pytest.raises(FinetuningError, match="this cannot be read"):
        load_pretrained(str(folder))
    file.write_text("{}")
    with pytest.raises(FinetuningError, match="it names no base_model_name_or_path"):
        load_pretrained(str(folder))


HOSTILE = [
    ({"base_model_name_or_path": 5}, "it names no base_model_name_or_path"),
    ({"base_model_name_or_path": None}, "it names no base_model_name_or_path"),
    ({"base_model_name_or_path": ""}, "it names no base_model_name_or_path"),
    ({"r": 10**9}, r"r = 1000000000: expected less than or equal to 16384"),
    ({"r": 0}, "r = 0: expected greater than or equal to 1"),
    ({"r": "8"}, "r = 8: expected a valid integer"),
    ({"r": 5}, r"r = 5, and the rank of its weights is 3"),
    ({"lora_alpha": "inf"}, "lora_alpha = inf: expected a valid number"),
    ({"target_modules": "(a+)+$"}, r"target_modules = \(a\+\)\+\$: expected a valid"),
    ({"target_modules": [5]}, "target_modules.0 = 5: expected a valid string"),
    ({"target_modules": ["nothing"]}, "this adapter cannot be loaded: Target modules .*nothing"),
    ({"use_dora": True}, "use_dora = True: this kind of LoRA is not supported; merge the adapter with peft"),
    ({"rank_pattern": {"(a+)+$": 10**9}}, "rank_pattern = .*: this kind of LoRA is not supported"),
    ({"some_later_option": {"x": 1}}, "some_later_option = .*: this kind of LoRA is not supported"),
]


@pytest.mark.parametrize(("fields", "message"), HOSTILE, ids=lambda given: str(given)[:30])
def test_a_hostile_configuration_is_refused_by_its_field(fields, message, adapter):
    _, folder, _ = adapter
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    with pytest.raises(FinetuningError, match=message):
        load_pretrained(str(folder))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_adapter_of_itself_is_refused(length, adapter):
    _, folder, _ = adapter
    ring = [folder, *(folder.with_name(f"adapter-{number}") for number in range(1, length))]
    for place in ring[1:]:
        shutil.copytree(folder, place)
    for place, base in zip(ring, [*ring[1:], ring[0] / "../adapter"], strict=True):
        file, weights = place / "adapter_config.json", load_file(place / "adapter_model.safetensors")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": str(base)}))
        save_file(weights, place / "adapter_model.safetensors")
    with pytest.raises(FinetuningError, match="this is an adapter of itself, or of too many"):
        load_pretrained(str(folder))


def test_an_adapter_of_an_adapter_is_no_circle(adapter):
    _, folder, _ = adapter
    upper = folder.with_name("upper")
    base = load_pretrained(str(folder))
    lora_config = add_lora(base, 2)
    _learn(base)
    upper.mkdir()
    Adapter.of(base, lora_config, Base.at(str(folder)), ()).save_pretrained(upper)
    ids = random_ids(2, 23)
    assert (outputs(load_pretrained(str(upper)), ids) - outputs(base.eval(), ids)).abs().max() < 1e-4


def test_weights_that_are_damaged_or_far_fewer_than_configured_are_refused(adapter, monkeypatch):
    _, folder, _ = adapter
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"feed_forward_size": 1 << 20}))
    with pytest.raises(
        FinetuningError, match=r"its configuration asks for [\d,]{9,} weights, and base and adapter have"
    ):
        load_pretrained(str(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(FinetuningError, match=r"these weights cannot be read: .*; train it again"):
        load_pretrained(str(folder))
