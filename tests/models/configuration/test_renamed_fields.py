"""Former names of fields: read with a warning from a call, a file and a recipe, and saved under the new name."""

import json

import pytest

from reformer.finetuning import changed_config
from reformer.models import ReformerConfig
from reformer.runs.recipe_file import read_recipe
from tests.contract.golden.cases import RECIPES

CRF_WARNING = r"the field classifier_random_field is now called classifier_crf; write classifier_crf=True"
STEPS_WARNING = r"the field time_steps is now called time_bias_steps; write time_bias_steps=\[1, 2\]"


def test_a_call_takes_them_with_a_warning():
    with pytest.warns(FutureWarning, match=CRF_WARNING):
        assert ReformerConfig(classifier_random_field=True).classifier_crf
    with pytest.warns(FutureWarning, match=STEPS_WARNING):
        config = ReformerConfig(num_attention_heads=2, time_bias_length=9, time_steps=[1, 2])
    assert config.steps_of_heads == [1, 2]


def test_a_file_is_read_and_written_anew(tmp_path):
    ReformerConfig(num_attention_heads=2, time_bias_length=9).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    for old, new, value in (
        ("classifier_random_field", "classifier_crf", True),
        ("time_steps", "time_bias_steps", [1, 2]),
    ):
        del fields[new]
        fields[old] = value
    file.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.warns(FutureWarning) as warned:
        config = ReformerConfig.from_pretrained(tmp_path)
    assert len(warned) == 2
    assert config.classifier_crf
    assert config.time_bias_steps == [1, 2]
    written = config.to_dict()
    assert not {"classifier_random_field", "time_steps"} & written.keys()
    assert ReformerConfig.from_dict(written).to_dict() == written
    with pytest.warns(FutureWarning, match=CRF_WARNING):
        assert ReformerConfig.from_dict(ReformerConfig().to_dict(), classifier_random_field=True).classifier_crf


def test_a_recipe_and_a_change_of_a_trained_model_take_them():
    with pytest.warns(FutureWarning) as warned:
        recipe = read_recipe(RECIPES / "hidden-tokens.toml")
    assert any("time_steps is now called model.time_bias_steps" in str(warning.message) for warning in warned)
    assert "time_steps" not in recipe.model
    assert recipe.model["time_bias_steps"] == [1, 2.5]
    with pytest.warns(FutureWarning, match=CRF_WARNING):
        assert changed_config(ReformerConfig(), {"classifier_random_field": True}).classifier_crf


def test_a_default_says_nothing_and_two_values_are_refused():
    assert not ReformerConfig(classifier_random_field=False, time_steps=None).classifier_crf
    heads = {"num_attention_heads": 2, "time_bias_length": 9}
    with pytest.raises(ValueError, match=r"time_steps=\[1, 2\] and time_bias_steps=\[1, 3\] are one field"):
        ReformerConfig(time_steps=[1, 2], time_bias_steps=[1, 3], **heads)
    with pytest.raises(ValueError, match=r"time_steps=\[1, 2\] and time_bias_steps=\[1, 3\] are one field"):
        ReformerConfig.from_dict({"time_steps": [1, 2], "time_bias_steps": [1, 3], **heads})
