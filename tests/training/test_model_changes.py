"""Changes to a pretrained model: what is printed of them, and what JSON says and gives back."""

import json

import pytest

from reformer.finetuning import Base
from reformer.training.model_changes import ModelChanges

PRUNED = ModelChanges(
    new=["classifier.bias"],
    dropped=["lm_head.bias"],
    drawn=["rotation_0"],
    kept_layers=(1,),
    layer_worth=(0.25, -0.5),
    kept_heads=((0,), ()),
    head_worth=((0.125, None), (None,)),
    score=0.5,
    trimmed_score=0.75,
    distinct_layers=1,
    hidden_size=32,
)


def test_each_change_is_a_line():
    assert list(PRUNED.in_words("f1")) == [
        "new weights: classifier.bias",
        "not taken: lm_head.bias",
        "hash rotations drawn anew: rotation_0",
        "layer 0: without it f1 falls by 0.2500",
        "layer 1: without it f1 gains by 0.5000",
        "layers kept: 1",
        "layer 0: f1 without its head 0 falls by 0.1250",
        "heads kept in layer 0: 0",
        "heads kept in layer 1: none, it is no attention",
        "f1 of the trained model 0.5000, trimmed 0.7500",
        "layers with weights of their own: 1",
        "hidden width: 32",
    ]
    assert not list(ModelChanges().in_words("f1"))


def test_json_has_the_keys_that_run_folders_have():
    assert PRUNED.to_json() == {
        "new": ["classifier.bias"],
        "dropped": ["lm_head.bias"],
        "drawn": ["rotation_0"],
        "kept": [1],
        "worth": [0.25, -0.5],
        "kept_heads": [[0], []],
        "heads_worth": [[0.125, None], [None]],
        "score": 0.5,
        "trimmed_score": 0.75,
        "distinct_layers": 1,
        "hidden_size": 32,
    }
    assert ModelChanges().to_json() == {"new": [], "dropped": [], "drawn": []}


@pytest.mark.parametrize("digest", ["ab12", None])
def test_changes_come_back_from_json(tmp_path, monkeypatch, digest):
    monkeypatch.chdir(tmp_path)
    # A folder, which has a digest, is known by its absolute path; a model on the hub by its name.
    changes = ModelChanges(["weight"], [], [], base=Base(str(tmp_path / "run") if digest else "run", digest))
    values = changes.to_json()
    assert values["base_sha256"] == digest
    assert ModelChanges.from_json(json.loads(json.dumps(values)), "run") == changes
    assert ModelChanges.from_json(PRUNED.to_json(), "run").to_json() == PRUNED.to_json()
