"""Advice for a file, which training takes as it is."""

import json

import pytest

from reformer.advice.advise import advise
from reformer.data import read_documents
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.document_splits import load_splits
from reformer.training.train import train
from tests.tiny import MODEL, write_conll, write_pairs, write_questions, write_reviews

SMALL = {
    name: MODEL[name] for name in ("hidden_size", "num_attention_heads", "attention_head_size", "feed_forward_size")
}


def _several(kind: str) -> str:
    """Texts with any number of labels, as lists or joined in a cell."""
    rows = [(f"text {n} of {n % 5}", ["abcd"[i] for i in range(4) if n >> i & 1]) for n in range(64)]
    if kind == "csv":
        return "\n".join(["text,label", *(f"{text},{'|'.join(labels) or 'none'}" for text, labels in rows)]) + "\n"
    return "".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_with_several_labels_a_text_is_learned_so(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_text(_several(kind), encoding="utf-8")
    advice = advise(str(path), offline=True, minutes=1)
    (tmp_path / "recipe.toml").write_text(advice.recipe, encoding="utf-8")
    assert advice.found.classes["a"] == 32
    overrides = [f"model.{field}={value}" for field, value in SMALL.items()]
    recipe = read_recipe(tmp_path / "recipe.toml", [*overrides, "training.max_steps=2", "training.num_evaluations=1"])
    assert recipe.training.problem_type == "multi_label_classification"
    assert recipe.data.label_separator == ("|" if kind == "csv" else None)
    assert "micro_f1" in train(recipe, tmp_path / "run")["validation"]


@pytest.mark.parametrize("name", ["a.conll", "a.csv", "a.jsonl", "a.tsv", "a.txt", "texts.csv"])
def test_a_recipe_trains_on_the_file_that_it_was_made_for(tmp_path, name):
    writers = {"a.conll": write_conll, "a.csv": write_reviews, "a.jsonl": write_questions, "a.tsv": write_pairs}
    if name in writers:
        writers[name](tmp_path / name, 60)
    else:
        lines = [f"今天是第{number}天，天气很好。" for number in range(400)]
        (tmp_path / name).write_text("\n".join(["text", *lines]) + "\n", encoding="utf-8")
    advice = advise(str(tmp_path / name), offline=True, minutes=1)
    (tmp_path / "recipe.toml").write_text(advice.recipe, encoding="utf-8")
    overrides = [f"model.{field}={value}" for field, value in SMALL.items()]
    if name == "a.jsonl":
        overrides.append("model.axial_pos_embds_dim=[8, 8]")
    recipe = read_recipe(tmp_path / "recipe.toml", [*overrides, "training.max_steps=2", "training.num_evaluations=1"])
    metrics = train(recipe, tmp_path / "run")
    assert metrics["task"] == advice.task


def test_the_figures_are_those_of_the_comments(tmp_path):
    advice = advise(str(write_reviews(tmp_path / "a.csv", 60)))
    assert advice.found.documents == 60
    for line in advice.figures:
        assert f"# {line}\n" in advice.recipe


def _with_rare(path, count: int):
    lines = ["text,label", *(f"text {n},{'ab'[n % 2]}" for n in range(60)), *(f"rare {n},c{n}" for n in range(count))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_each_label_is_left_in_the_part_that_is_learned_from(tmp_path):
    path = _with_rare(tmp_path / "a.csv", 30)
    (tmp_path / "recipe.toml").write_text(advise(str(path)).recipe, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.toml")
    for seed in range(5):
        learned = {document.label for document in load_splits(recipe.data, seed).train}
        assert learned == {document.label for document in read_documents(path)}


def test_a_type_of_entities_that_occurs_once_is_learned_from(tmp_path):
    path = write_conll(tmp_path / "a.conll", 60)
    path.write_text("火 B-STAR\n星 I-STAR\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(advise(str(path)).recipe, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.toml")
    learned = load_splits(recipe.data, recipe.training.seed).train
    assert "STAR" in {span.label for document in learned for span in document.spans or ()}


def test_lists_of_one_class_each_are_learned_as_one_class(tmp_path):
    lines = (json.dumps({"id": n, "text": f"text {n}", "label": ["ab"[n % 2]]}) for n in range(60))
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    advice = advise(str(tmp_path / "a.jsonl"), offline=True, minutes=1)
    assert "multi_label" not in advice.recipe
    assert advice.found.classes == {"a": 30, "b": 30}
