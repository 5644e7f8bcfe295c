"""A stored configuration, however it is loaded: it reaches for no other loader, and asks only for what is there."""

import json
import warnings

import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel

from reformer.finetuning import load_pretrained
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.models.configuration.checks import MOST, MOST_LAYERS
from reformer.models.configuration.stored_fields import MOST_LABELS
from tests.contract.models import HEADS, SMALL, outputs, random_ids

HOSTILE = {
    "attn_implementation": "org/kernel",
    "_attn_implementation_internal": "org/kernel",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
    "auto_map": {"AutoConfig": "evil.Config", "AutoModelForTokenClassification": "evil.Model"},
    "fusion_config": {"patch_embeddings": True},
    "per_layer_config": {"0": {"hidden_size": 5}},
    "transformers_weights": "../elsewhere.safetensors",
    "experts_implementation": "org/kernel",
    "some_later_loader": ["x"],
}
LOADERS = {
    "from_pretrained": ReformerForTokenClassification.from_pretrained,
    "AutoModel": AutoModelForTokenClassification.from_pretrained,
    "load_pretrained": lambda place: load_pretrained(str(place)),
    "config": lambda place: ReformerForTokenClassification.from_pretrained(
        place, config=ReformerConfig.from_pretrained(place)
    ),
    "AutoConfig": lambda place: ReformerForTokenClassification.from_pretrained(
        place, config=AutoConfig.from_pretrained(place)
    ),
    "json": lambda place: ReformerForTokenClassification.from_pretrained(
        place, config=ReformerConfig.from_json_file(place / "config.json")
    ),
}


@pytest.fixture
def saved(tmp_path):
    model = HEADS["token-classification"].build("mixed")
    model.save_pretrained(tmp_path)
    return tmp_path, model


def _store(place, **fields):
    stored = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(stored | fields))


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_fields_of_other_loaders_are_left_out_and_named_once(load, saved):
    place, model = saved
    _store(place, **HOSTILE)
    with pytest.warns(UserWarning, match="fields of no Reformer, which are left out: .*attn_implementation") as told:
        loaded = load(place)
    assert len(told) == 1
    assert all(name in str(told[0].message) for name in HOSTILE)
    assert not any(hasattr(loaded.config, name) for name in HOSTILE if name not in dir(ReformerConfig()))
    assert loaded.config._attn_implementation in (None, "sdpa", "eager")
    ids = random_ids(2, 19)
    assert torch.equal(outputs(loaded, ids), outputs(model, ids))


def test_a_plain_configuration_is_read_in_silence(saved):
    place, model = saved
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ReformerConfig.from_dict(model.config.to_dict()).to_dict() == model.config.to_dict()
        assert LOADERS["AutoModel"](place).config.to_diff_dict() == model.config.to_diff_dict()


@pytest.mark.parametrize("name", ["quantization_config", "auto_map", "fusion_config", "attn_implementation"])
def test_a_new_configuration_refuses_them(name):
    with pytest.raises(ValueError, match=rf"{name}.*: a Reformer has its own .*; leave it out"):
        ReformerConfig(**SMALL, **{name: HOSTILE[name]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_labels": 10**9}, f"num_labels=1000000000: expected a number up to {MOST_LABELS:,}"),
        ({"num_labels": "many"}, "num_labels='many'"),
        ({"num_labels": None}, "num_labels=None: expected a number"),
        ({"id2label": {"0": "a", "2": "b"}}, "a name for each number from 0 to 1"),
        ({"id2label": {"x": "a"}}, "a name for each number from 0 to 0"),
        ({"id2label": {"0": 5}}, "a text as the name of each label"),
        ({"id2label": 5}, "id2label: expected names"),
        ({"dtype": "load"}, "dtype='load': expected one of float32, float64, bfloat16, float16"),
        ({"dtype": "complex64"}, "dtype='complex64'"),
        ({"torch_dtype": "nonsense"}, "dtype='nonsense'"),
        (
            {"attention_layers": ["full"] * (MOST_LAYERS + 1)},
            "attention_layers has 1,025 layers; expected at most 1,024",
        ),
        *(({name: most + 1}, f"{name}={most + 1}: expected at most {most:,}") for name, most in MOST.items()),
    ],
)
def test_what_no_model_has_is_refused_before_anything_is_made_of_it(fields, message, saved):
    name, value = next(iter(fields.items()))
    given = {key: part for key, part in SMALL.items() if key != "num_labels"}
    lists = (
        "ngram_sizes",
        "wide_sizes",
        "question_match_sizes",
        "axial_pos_shape",
        "axial_pos_embds_dim",
        "fusion_ranges",
        "image_size",
    )
    if name in lists or name.endswith("_cardinalities"):
        value = [value]
    with pytest.raises(ValueError, match=message):
        ReformerConfig(**given | {name: value})


def test_a_configuration_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="a configuration is an object of fields, and this is a list"):
        ReformerConfig.from_json_file(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("load", "fields"),
    [
        ("from_pretrained", {"feed_forward_size": 1 << 20}),
        ("from_pretrained", {"attention_layers": ["full"] * 300, "feed_forward_size": 1 << 16}),
        ("AutoModel", {"num_buckets": [1 << 20]}),
        ("AutoModel", {"vocab_size": 1 << 26}),
        ("load_pretrained", {"convolution_kernel": (1 << 20) - 1}),
        ("load_pretrained", {"ngram_sizes": [2], "ngram_rows": 1 << 30}),
    ],
    ids=lambda fields: fields if isinstance(fields, str) else next(iter(fields)),
)
def test_a_model_far_larger_than_its_file_is_never_allocated(load, fields, saved, monkeypatch):
    place, _ = saved
    _store(place, **fields)
    # There the weights get their memory.
    monkeypatch.setattr(PreTrainedModel, "_load_pretrained_model", staticmethod(_never))
    with pytest.raises(
        Exception, match=r"the configuration asks for [\d,]{9,} weights, and the files have [\d,]+; one of"
    ):
        LOADERS[load](place)


def _never(*_, **__):
    raise AssertionError("this would allocate")


def test_a_configuration_of_lists_within_lists_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    for load in (ReformerConfig.from_json_file, ReformerConfig.from_pretrained):
        with pytest.raises(ValueError, match="lists or objects within each other, too deep"):
            load(tmp_path / "config.json")


def test_an_adapter_beside_a_model_is_not_read_by_other_code(saved):
    place, _ = saved
    (place / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "some/where"}')
    for load in (LOADERS["from_pretrained"], LOADERS["AutoModel"]):
        with pytest.raises(ValueError, match="this folder has an adapter; load it with"):
            load(place)


def test_code_beside_a_model_is_not_run(saved, tmp_path):
    model = HEADS["causal-lm"].build("local")
    place = tmp_path / "causal"
    model.save_pretrained(place)
    (place / "custom_generate").mkdir()
    (place / "custom_generate/generate.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef generate(*_): pass")
    type(model).from_pretrained(place)
    assert not (tmp_path / "ran").exists()
