"""A run's card says what it is, and the text of users in it is text."""

import json
from dataclasses import replace

import pytest
import yaml

from reformer.data.tokenizers import byte_tokenizer
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.runs.card import escaped, model_card
from reformer.tasks.base import Run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.tiny import MODEL, ner_recipe

METRICS = {
    "task": "token-classification",
    "validation": {"step": 8, "loss": 0.25, "f1": 0.5},
    "test": {"documents": 1234, "f1": 0.75},
    "training": {"weights": 1000, "steps": 12, "precision": "float32"},
    "versions": {"reformer": "0.1.0", "torch": "2.13.0"},
    "baseline": {"method": "CRF | of <3> characters", "validation": {"f1": 0.4}, "test": None},
}


@pytest.fixture
def run(tmp_path):
    names = ["O", "B-[x](http://evil)", "I-<script>alert(1)</script>"]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    model = ReformerForTokenClassification(ReformerConfig(vocab_size=261, **MODEL, **labels))
    recipe = checked_recipe(ner_recipe(tmp_path))
    return Run(tmp_path / "my_run", recipe, TASKS["token-classification"], model, byte_tokenizer())


def test_a_card_has_scores_data_model_and_use(run, tmp_path):
    card = model_card(run, METRICS)
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "token-classification"
    assert front["model_name"] == "my_run"
    assert "| f1 | 0.5000 | 0.7500 | 0.4000 |" in card
    assert "1,234" in card
    assert "train: train.conll" in card
    # Where the files are is nobody's business.
    assert str(tmp_path) not in card
    assert "1,000 weights" in card
    assert "layers: local, lsh" in card
    assert "reformer predict my_run FILE" in card
    assert 'load_run("my_run")' in card


def test_text_of_users_is_text_in_it(run):
    card = model_card(replace(run, folder=run.folder.with_name("a `b`\n# c")), METRICS)
    assert "<script>" not in card
    assert "](http://evil" not in card
    assert "\n# c" not in card
    assert "CRF \\| of &lt;3&gt; characters" in card
    # A name that a shell would read otherwise is in no command.
    assert "reformer predict FOLDER FILE" in card
    assert json.loads(card.split("model_name: ")[1].split("\n")[0]) == "a `b`\n# c"


def test_escapes_are_for_one_line():
    assert escaped("a\nb\x1b[31m") == "a b \\[31m"
    assert escaped("1. x & <b>") == "1. x &amp; &lt;b&gt;"
    assert escaped("http://x www.y") == "http\\://x www\\.y"
