"""Text to text from recipe to translations."""

import json

import pytest
from rich.console import Console

from reformer.data import DataError, Document
from reformer.models import ReformerForConditionalGeneration
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import read_recipe, write_recipe
from reformer.tasks.generation import TOKENS_FOR_EACH, TOKENS_TO_SPARE
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.text_to_text import evaluate_pairs, write_answers
from reformer.training.train import train
from tests.cli.test_cli import reformer
from tests.tiny import pairs_recipe, reviews_recipe, write_pairs

QUIET = Console(quiet=True)


def _train(tables: dict, folder, **options):
    return train(checked_recipe(tables), folder, **{"console": QUIET, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    metrics = _train(pairs_recipe(folder), folder / "run")
    assert metrics["test"].keys() == {"bleu", "chrf", "exact_match", "pairs"}
    assert metrics["test"]["pairs"] == 5
    assert metrics["validation"]["pairs"] == 3
    return load_run(folder / "run")


def test_the_run_is_an_encoder_decoder_with_its_tokens(run):
    assert isinstance(run.model, ReformerForConditionalGeneration)
    config, tokenizer = run.model.config, run.tokenizer
    assert config.decoder_attention_layers == config.attention_layers
    assert (config.decoder_start_token_id, config.eos_token_id) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_answers_come_in_order_and_alone_as_in_a_batch(run):
    texts = ["12345", "7", "456"]
    documents = [Document(text, id=text) for text in texts]
    together = list(write_answers(run, documents, beams=2))
    assert [document.text for document, _ in together] == texts
    alone = [next(write_answers(run, [document], beams=2))[1] for document in documents]
    assert [text for _, text in together] == alone


def test_a_text_that_never_ends_is_ended(run):
    end, run.model.config.eos_token_id = run.model.config.eos_token_id, 1
    try:
        [(_, text)] = write_answers(run, [Document("12", id="a")])
    finally:
        run.model.config.eos_token_id = end
    assert 0 < len(text) <= min(2 * TOKENS_FOR_EACH + TOKENS_TO_SPARE, 24)


def test_the_commands(run, tmp_path):
    lines = ['{"source": "123"}', "{broken", '{"source": "' + "1" * 25 + '"}', '{"source": "45", "id": "x"}']
    (tmp_path / "new.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    found = reformer("predict", run.folder, tmp_path / "new.jsonl", "--beams", 2, "-o", output, status=1)
    assert "new.jsonl:2: broken JSON" in found.output
    assert "new.jsonl:3: this document has 25 tokens, and the model takes at most 24" in found.output
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(record["id"], record["source"]) for record in records] == [("new.jsonl:1", "123"), ("x", "45")]
    assert all(isinstance(record["target"], str) for record in records)
    pairs = write_pairs(tmp_path / "pairs.tsv", 4)
    reformer("evaluate", run.folder, pairs, "-o", tmp_path / "scores.json")
    assert set(json.loads((tmp_path / "scores.json").read_text())) == {"chrf", "bleu", "exact_match", "pairs"}


def test_the_size_is_that_of_all_answers(run, tmp_path):
    path = str(write_pairs(tmp_path / "pairs.tsv", 4))
    answers = list(run.task.predict(run, [path], PredictOptions(), lambda error: None))
    assert run.task.size(run, [path], PredictOptions()) == sum(answer.size for answer in answers)


def test_what_is_no_pair_is_named(run, tmp_path):
    (tmp_path / "texts.tsv").write_text("source\n12\n", encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text('{"source": "1"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="there is no column 'target'"):
        run.task.evaluate(run, [str(tmp_path / "texts.tsv")], PredictOptions())
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: this pair has no target"):
        run.task.evaluate(run, [str(tmp_path / "pairs.jsonl")], PredictOptions())
    with pytest.raises(DataError, match="half of a surrogate pair"):
        evaluate_pairs(run, [Document("1", "a", label="\ud800", source="f:1")])


def test_a_target_that_is_too_long_is_named_before_training(tmp_path):
    tables = pairs_recipe(tmp_path)
    with open(tables["data"]["train"], "a", encoding="utf-8") as file:
        file.write("1\t" + "一" * 24 + "\n")
    with pytest.raises(DataError, match=r"train\.tsv:62: the target has 25 tokens, its end included"):
        _train(tables, tmp_path / "run")


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("data", "max_length", 100, r"data\.max_length is for token-classification"),
        ("training", "mlm_probability", 0.1, r"training\.mlm_probability is for masked-language-modelling"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, table, field, value, message):
    tables = pairs_recipe(tmp_path)
    tables[table][field] = value
    with pytest.raises(RecipeError, match=message):
        checked_recipe(tables)


def test_a_data_set_of_labelled_texts_is_refused(tmp_path):
    tables = pairs_recipe(tmp_path) | {"data": {"source": "index:people-daily"}}
    with pytest.raises(RecipeError, match="no data set of the index has pairs"):
        checked_recipe(tables)


def test_fields_of_the_decoder_are_for_pairs_alone(tmp_path):
    tables = pairs_recipe(tmp_path)
    for recipe, valid in ((tables, True), (reviews_recipe(tmp_path), False)):
        write_recipe(checked_recipe(recipe), tmp_path / "recipe.toml")
        override = 'model.cross_attention_layers=["full", "full"]'
        if valid:
            read_recipe(tmp_path / "recipe.toml", [override])
            continue
        with pytest.raises(RecipeError, match="no effect without is_encoder_decoder=True"):
            read_recipe(tmp_path / "recipe.toml", [override])
