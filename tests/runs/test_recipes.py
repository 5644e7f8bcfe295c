"""The recipes that come with the project can be used as they are."""

from pathlib import Path

import pytest

from reformer.runs.recipe_file import read_recipe
from reformer.training.train import train
from tests.tiny import MODEL, write_conll, write_pairs, write_questions, write_reviews

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = [f"model.{name}={MODEL[name]}" for name in ("hidden_size", "num_attention_heads", "attention_head_size")]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_each_recipe_is_valid(path):
    read_recipe(path)


@pytest.mark.parametrize(
    ("name", "write", "data"),
    [
        ("template-classification", write_reviews, "reviews.csv"),
        ("template-labelling", write_conll, "entities.conll"),
        ("template-questions", write_questions, "questions.jsonl"),
        ("template-text-to-text", write_pairs, "pairs.tsv"),
    ],
)
def test_a_template_trains_on_the_file_it_names(tmp_path, monkeypatch, name, write, data):
    monkeypatch.chdir(tmp_path)
    write(Path(data), 60)
    overrides = [*SMALL, "training.max_steps=2"]
    if name == "template-questions":
        overrides.append("model.axial_pos_embds_dim=[8, 8]")
    elif name != "template-text-to-text":
        overrides.append("data.max_length=100")
    train(read_recipe(RECIPES / f"{name}.toml", overrides), "run")
    assert (tmp_path / "run" / "metrics.json").exists()
