"""Entities put together from the parts of others."""

import numpy as np
import pytest
import torch
from rich.console import Console

from reformer.data import Document, Span, bio_labels, byte_tokenizer, token_tags
from reformer.data.batching.encoding import Examples
from reformer.errors import ReformerError
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.document_splits import read_source
from reformer.tasks.documents.prediction import evaluate
from reformer.tasks.documents.recombination import Recombination
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe

LABELS = bio_labels(["LOC", "PER"])
IDS = {label: number for number, label in enumerate(LABELS)}
TEXTS = [
    Document("ab saw AB.", "1", spans=(Span(0, 2, "PER"), Span(7, 9, "LOC")), source="1"),
    Document("cd saw cd in X", "2", spans=(Span(0, 2, "PER"), Span(7, 9, "PER"), Span(13, 14, "LOC")), source="2"),
]


def _examples() -> Examples:
    def target(document, offsets):
        return np.array(token_tags(document.spans, offsets, IDS, document.source))

    return Examples(TEXTS, byte_tokenizer(), target, 100)


def _batch(examples: Examples, index: int) -> dict:
    example = examples[index]
    return {"input_ids": torch.from_numpy(example.ids).long()[None], "labels": torch.from_numpy(example.target)[None]}


def _draw(probability: float, types: list[str] | None, times: int) -> set[str]:
    examples, tokenizer = _examples(), byte_tokenizer()
    recombine = Recombination(examples, LABELS, probability, types)
    generator = torch.Generator().manual_seed(0)
    found = (recombine(_batch(examples, 1), generator)["input_ids"][0] for _ in range(times))
    return {tokenizer.decode(ids) for ids in found}


def test_entities_become_what_the_others_parts_make():
    names = {"ab", "ad", "cb", "cd"}
    assert _draw(0.999, None, 200) == {f"{first} saw {second} in X" for first in names for second in names}


def test_without_probability_nothing_changes():
    assert _draw(0.0, None, 5) == {TEXTS[1].text}


def test_other_types_stay():
    assert _draw(0.999, ["LOC"], 20) == {TEXTS[1].text}


def test_the_generator_decides():
    examples = _examples()
    recombine = Recombination(examples, LABELS, 0.5, None)
    batch = _batch(examples, 1)
    before = batch["input_ids"].clone()
    first, again = (recombine(batch, torch.Generator().manual_seed(3))["input_ids"] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(batch["input_ids"], before)


def test_a_run_answers_with_the_types_that_were_asked_for(tmp_path):
    tables = ner_recipe(
        tmp_path, max_steps=60, entity_types=["PER"], entity_recombination=0.3, recombined_types=["PER"]
    )
    metrics = train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    assert set(metrics["test"]) == {"documents", "characters", "precision", "recall", "f1", "class/PER_f1"}
    run = load_run(tmp_path / "run")
    assert run.labels == bio_labels(["LOC", "ORG", "PER"])
    documents = list(read_source(tables["data"]["test"], run.recipe.data))
    assert evaluate(run, documents)["f1"] > 0.5


@pytest.mark.parametrize("field", ["entity_types", "recombined_types"])
def test_a_type_that_nobody_has_tagged_is_refused(tmp_path, field):
    tables = ner_recipe(tmp_path, entity_recombination=0.5, **{field: ["PER", "GPE"]})
    with pytest.raises(ReformerError, match=rf"{field}: .* have no 'GPE'; they have 'LOC', 'ORG', 'PER'"):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))


def test_types_without_a_probability_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="recombined_types without entity_recombination"):
        checked_recipe(ner_recipe(tmp_path, recombined_types=["PER"]))
