"""transformers' Auto classes find the models, imported before the package or after it, and without it by `auto_map`."""

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import reformer
from reformer.auto_classes import AUTO_CLASSES
from reformer.data.tokenizers import byte_tokenizer
from reformer.models import ReformerConfig, ReformerForCausalLM
from reformer.models.configuration.remote_code import AUTO_MAP, MODULE, SOURCE
from tests.contract.models import SMALL


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved causal model with its tokenizer, whose file does not say of which class it is."""
    place = tmp_path_factory.mktemp("model")
    ReformerForCausalLM(ReformerConfig(**{**SMALL, "vocab_size": 261}, is_decoder=True)).save_pretrained(place)
    byte_tokenizer().save_pretrained(place)
    told = json.loads((place / "tokenizer_config.json").read_text())
    del told["tokenizer_class"]
    (place / "tokenizer_config.json").write_text(json.dumps(told))
    return place


def _python(script, *arguments, **environment):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("name", "model"), AUTO_CLASSES.items())
def test_each_auto_class_loads_its_model(name, model):
    assert getattr(transformers, name)._model_mapping[ReformerConfig] is getattr(reformer, model)


def test_a_model_is_not_taken_for_an_encoder_decoder():
    tables = transformers.models.auto.modeling_auto
    assert "reformer-torch" in tables.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    assert "reformer-torch" not in tables.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES


def test_what_is_saved_is_found(folder, recwarn):
    assert type(AutoConfig.from_pretrained(folder)) is ReformerConfig
    found = AutoModelForCausalLM.from_pretrained(folder)
    assert type(found) is ReformerForCausalLM
    ids = AutoTokenizer.from_pretrained(folder)("né", return_tensors="pt").input_ids
    assert torch.equal(ids, byte_tokenizer()("né", return_tensors="pt").input_ids)
    assert not [warning for warning in recwarn if "auto_map" in str(warning.message)]


def test_transformers_own_reformer_stays_what_it_is():
    config = transformers.ReformerConfig(attn_layers=["local"], axial_pos_shape=[8, 8], is_decoder=False)
    with torch.device("meta"):
        found = transformers.AutoModelForMaskedLM.from_config(config)
    assert type(found) is transformers.ReformerForMaskedLM
    assert ReformerConfig.__name__ != transformers.ReformerConfig.__name__


def test_the_package_may_be_imported_first(folder):
    script = """
import sys
import reformer
assert not {"torch", "transformers"} & sys.modules.keys()
from transformers import AutoModelForCausalLM, AutoTokenizer
print(type(AutoModelForCausalLM.from_pretrained(sys.argv[1])) is reformer.ReformerForCausalLM)
print(AutoTokenizer.from_pretrained(sys.argv[1])("a").input_ids)
"""
    assert _python(script, folder) == ["True", "[102]"]


def test_only_trusted_code_imports_the_package_and_nothing_of_it_is_copied(folder, tmp_path):
    script = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
try:
    AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=False)
except ValueError:
    print("reformer" in sys.modules)
AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
print(type(model).__module__)
model.save_pretrained(sys.argv[2])
"""
    saved = tmp_path / "saved"
    found = _python(script, folder, saved, HF_HOME=str(tmp_path / "home"))
    assert found == ["False", "reformer.models.heads.language"]
    assert {file.name for file in saved.glob("*.py")} == {f"{MODULE}.py"}
    assert json.loads((saved / "config.json").read_text())["auto_map"] == AUTO_MAP


def test_trusted_code_says_which_package_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "reformer.models", None)
    with pytest.raises(ImportError, match="pip install reformer-torch"):
        exec(SOURCE, {})


def test_code_from_elsewhere_is_left_out_with_a_warning(folder, tmp_path):
    told = json.loads((folder / "config.json").read_text())
    for auto_map in ({**AUTO_MAP, "AutoModel": "other.Model"}, ["x"]):
        (tmp_path / "config.json").write_text(json.dumps(told | {"auto_map": auto_map}))
        with pytest.warns(UserWarning, match="left out: auto_map"):
            assert not hasattr(ReformerConfig.from_pretrained(tmp_path), "auto_map")
    of_hub = {name: f"someone/model--{place}" for name, place in AUTO_MAP.items()}
    (tmp_path / "config.json").write_text(json.dumps(told | {"auto_map": of_hub}))
    assert not hasattr(ReformerConfig.from_pretrained(tmp_path), "auto_map")


def test_a_class_derived_elsewhere_can_be_registered():
    class Derived(ReformerForCausalLM):
        pass

    for model in (Derived, ReformerForCausalLM):
        model.register_for_auto_class("AutoModelForCausalLM")
    assert Derived._auto_class == "AutoModelForCausalLM"
    assert ReformerForCausalLM._auto_class is None
