"""A run that starts from a model of another architecture, converted at once or before."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForQuestionAnswering
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import Document, Question
from reformer.data.batching.encoding import encode
from reformer.data.vocabulary import used_vocabulary
from reformer.errors import ReformerError
from reformer.finetuning import FinetuningError
from reformer.models import ReformerForQuestionAnswering
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.conversion import convert_to_folder
from reformer.tasks.documents.prediction import predict
from reformer.tasks.model_setup import read_start, tokenizer_beside
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.question_answering.spans import best_span, encode_question
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.models.pretrained.shapes import save_with_tokenizer
from tests.tiny import masked_recipe, ner_recipe, reviews_recipe, write_questions
from tests.training.starts import recipe_from

QUIET = Console(quiet=True)
CHARACTERS = sorted(set("王小明李华张伟北京上海昌平区新华社人民日报社去了的。很好满意太差退货"))


@pytest.fixture
def bert(tmp_path):
    save_with_tokenizer(tmp_path / "bert", CHARACTERS)
    return tmp_path / "bert"


def test_a_labeller_starts_from_a_bert(bert, tmp_path):
    metrics = train(recipe_from(bert, ner_recipe(tmp_path, max_steps=30)), tmp_path / "run", console=QUIET)
    assert metrics["start"]["new"] == ["classifier.bias", "classifier.weight"]
    assert metrics["test"]["f1"] > 0.9
    run = load_run(tmp_path / "run")
    assert run.model.config.norm_order == "post"
    [encoded] = encode([Document(id="1", text="王小明去了")], run.tokenizer, 60, special_tokens=True)
    assert run.tokenizer.convert_ids_to_tokens(encoded.ids.tolist()) == ["[CLS]", *"王小明去了", "[SEP]"]
    [(_, answer)] = predict(run, [Document(id="1", text="王小明去了北京的新华社。")])
    assert [(span.start, span.end, span.label) for span in answer.spans] == [
        (0, 3, "PER"),
        (5, 7, "LOC"),
        (8, 11, "ORG"),
    ]


def test_a_classifier_starts_from_a_converted_folder_with_windows(bert, tmp_path):
    convert = ["convert", str(bert), str(tmp_path / "ours"), "--length", "200", "--layers", "2", "--kind", "local"]
    result = CliRunner().invoke(app, [*convert, "--window", "9"])
    assert result.exit_code == 0, result.output
    assert "its answers differ by at most" in result.output
    metrics = train(recipe_from(tmp_path / "ours", reviews_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    assert metrics["validation"]["accuracy"] == 1.0
    config = load_run(tmp_path / "run").model.config
    assert (config.attention_layers, config.local_window, config.global_tokens) == (["local"] * 2, 9, [0, -1])
    assert config.max_position_embeddings == 200


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_convert_says_how_near_a_reformer_is_and_what_it_leaves_out(tmp_path):
    save_with_tokenizer(tmp_path / "theirs", CHARACTERS, "reformer", "causal")
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "theirs"), str(tmp_path / "ours")])
    assert result.exit_code == 0, result.output
    assert "it is the same function on texts of at most 64 tokens; of longer ones" in result.output
    assert "of 512 random tokens its answers are apart from the original's by " in result.output
    assert "; the original's own under other rotations by " in result.output
    assert "without a place in it: lm_head.bias, which its own code stores and does not add" in result.output


@pytest.mark.parametrize(
    ("finetune", "layers"), [({}, ["local"] * 3), ({}, "local"), ({"lora_rank": 2}, ["local"] * 3)]
)
def test_a_recipe_gives_a_bert_windows_and_more_positions(bert, tmp_path, finetune, layers):
    chosen = {
        "max_position_embeddings": 150,
        "attention_layers": layers,
        "local_window": 9,
        "global_tokens": [0, -1],
    }
    tables = reviews_recipe(tmp_path)
    del tables["tokenizer"]
    tables |= {"model": chosen, "finetune": {"start_from": str(bert), **finetune}}
    tables["training"] |= {"max_steps": 2}
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    model = load_run(tmp_path / "run").model
    expected = chosen | {"attention_layers": ["local"] * 3}
    assert {name: getattr(model.config, name) for name in chosen} == expected
    assert model.base_model.positions.table.weight.shape == (150, 32)
    assert model(torch.randint(5, 20, (1, 150))).logits.isfinite().all()


def test_a_recipe_accepts_a_licence(bert, tmp_path):
    (bert / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    tables = reviews_recipe(tmp_path)
    del tables["tokenizer"]
    tables["training"] |= {"max_steps": 1}
    with pytest.raises(FinetuningError, match=r"its licence, .*, forbids some uses"):
        train(
            checked_recipe(tables | {"model": {}, "finetune": {"start_from": str(bert)}}), tmp_path / "r", console=QUIET
        )
    accepted = {"start_from": str(bert), "accept_licence": True, "lora_rank": 2}
    train(checked_recipe(tables | {"model": {}, "finetune": accepted}), tmp_path / "run", console=QUIET)
    assert load_run(tmp_path / "run").model.config.norm_order == "post"
    again = accepted | {"start_from": str(tmp_path / "run")}
    with pytest.raises(FinetuningError, match="accept_licence is for models that have to be converted"):
        train(checked_recipe(tables | {"model": {}, "finetune": again}), tmp_path / "again", console=QUIET)
    convert = ["convert", str(bert), str(tmp_path / "ours")]
    assert "forbids some uses" in CliRunner().invoke(app, convert).output
    assert CliRunner().invoke(app, [*convert, "--accept-licence"]).exit_code == 0


def test_nothing_is_half_written(bert, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ReformerError, match="there: this exists already"):
        convert_to_folder(str(bert), tmp_path / "there")
    (bert / "tokenizer.json").unlink()
    with pytest.raises(FinetuningError, match="there is no tokenizer beside this model"):
        convert_to_folder(str(bert), tmp_path / "new")
    save_with_tokenizer(bert, CHARACTERS)
    with pytest.raises(ReformerError, match="layers=9: the model has 3"):
        convert_to_folder(str(bert), tmp_path / "new", layers=9)
    assert not (tmp_path / "new").exists()


def test_a_text_without_characters_is_empty_with_special_tokens_too(bert, tmp_path):
    convert_to_folder(str(bert), tmp_path / "ours")
    tokenizer = tokenizer_beside("ours", str(tmp_path / "ours"))
    [problem] = encode([Document(id="1", text=" ")], tokenizer, 60, special_tokens=True)
    assert "has no token" in str(problem)


def test_the_vocabulary_is_cut_to_what_the_texts_need(bert, tmp_path):
    save_with_tokenizer(bert, [*CHARACTERS, *(f"word{number}" for number in range(500)), "д"])
    tables = ner_recipe(tmp_path, max_steps=30)
    tables |= {"tokenizer": {"vocabulary": "used"}, "model": {}, "finetune": {"start_from": str(bert)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reformer.tasks.model_setup.used_vocabulary", partial(used_vocabulary, reserve=8))
        metrics = train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    assert metrics["test"]["f1"] > 0.9
    run = load_run(tmp_path / "run")
    assert len(run.tokenizer) == run.model.config.vocab_size < 60
    assert "д" not in run.tokenizer.get_vocab()


def test_characters_are_labelled_where_entities_end_within_pieces(bert, tmp_path):
    """No piece of these ends where an entity does: "小明去了北" is one, and so is "京的新"."""
    pieces = [*CHARACTERS, *(f"##{character}" for character in CHARACTERS), "去了", "##去了", "明去了北", "##明去了北"]
    save_with_tokenizer(bert, pieces, joined=True)
    tables = ner_recipe(tmp_path, max_steps=60)
    without = {name: table for name, table in tables.items() if name != "tokenizer"}
    start = {"finetune": {"start_from": str(bert)}}
    metrics = {}
    for reads in ("tokens", "characters"):
        recipe = checked_recipe(without | start | {"model": {"classifier_reads": reads}})
        metrics[reads] = train(recipe, tmp_path / reads, console=QUIET)["test_joined"]["f1"]
    assert metrics["characters"] > 0.9 > metrics["tokens"]
    run = load_run(tmp_path / "characters")
    [(_, answer)] = predict(run, [Document(id="1", text="王小明去了北京的新华社。")])
    assert [(span.start, span.end) for span in answer.spans] == [(0, 3), (5, 7), (8, 11)]


def test_entities_that_are_recombined_are_of_tokens(bert, tmp_path):
    tables = ner_recipe(tmp_path, max_steps=2, entity_recombination=0.5)
    with pytest.raises(ReformerError, match="entity_recombination with classifier_reads = 'characters'"):
        train(recipe_from(bert, tables, classifier_reads="characters"), tmp_path / "run", console=QUIET)


def test_a_wide_part_stands_beside_a_bert(bert, tmp_path):
    recipe = recipe_from(bert, ner_recipe(tmp_path, max_steps=5), wide_sizes=[1, 2], classifier_crf=True)
    assert train(recipe, tmp_path / "run", console=QUIET)["test"]["f1"] > 0.9


@pytest.mark.parametrize("place", ["folder", "index"])
def test_an_adapter_of_a_bert_is_loaded_again(bert, tmp_path, monkeypatch, place):
    monkeypatch.setattr("reformer.tasks.model_setup.fetch_pretrained", {"toy": bert}.__getitem__)
    without = {name: table for name, table in ner_recipe(tmp_path, max_steps=30).items() if name != "tokenizer"}
    start = str(bert) if place == "folder" else "index:toy"
    recipe = checked_recipe(without | {"model": {}, "finetune": {"start_from": start, "lora_rank": 4}})
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    run = load_run(tmp_path / "run")
    assert run.task.evaluate(run, [recipe.data.test], PredictOptions()) == metrics["test"]


def test_an_adapter_of_a_cut_vocabulary_is_refused(bert, tmp_path):
    tables = ner_recipe(tmp_path) | {"tokenizer": {"kind": "start", "vocabulary": "used"}, "model": {}}
    with pytest.raises(RecipeError, match=r'vocabulary = "used" with finetune.lora_rank.*lora_merge = true'):
        checked_recipe(tables | {"finetune": {"start_from": str(bert), "lora_rank": 4}})
    checked_recipe(tables | {"finetune": {"start_from": str(bert), "lora_rank": 4, "lora_merge": True}})


@pytest.mark.parametrize("pair", [None, "[CLS] $A [SEP] $B [SEP]"])
def test_a_reader_of_questions_reads_the_pairs_that_its_start_has_learned(tmp_path, pair):
    save_with_tokenizer(tmp_path / "bert", CHARACTERS, pair=pair)
    data = {name: str(write_questions(tmp_path / f"{name}.jsonl", 12)) for name in ("train", "validation")}
    training = {"task": "question-answering", "max_steps": 2, "num_evaluations": 1, "batch_size": 4, "device": "cpu"}
    tables = {"data": data, "training": training, "finetune": {"start_from": str(tmp_path / "bert")}}
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    run = load_run(tmp_path / "run")
    assert run.model.config.special_tokens == (pair is not None)
    question = Question("王去了", "李去了北京。", "1", [(3, 5)])
    sequence = encode_question(question, run.tokenizer, run.model.config)
    ends = ("[CLS]", "[SEP]", *["[SEP]"] * (pair is not None))
    expected = [ends[0], *"王去了", ends[1], *"李去了北京。", *ends[2:]]
    assert run.tokenizer.convert_ids_to_tokens(sequence.ids) == expected
    assert sequence.target() == (8, 9)
    # The token behind the document is no part of an answer, and has its share of the probability.
    logits = np.zeros(len(sequence.ids), dtype=np.float32)
    logits[9:] = (5, 0, 9)[: len(logits) - 9]
    answer = best_span(sequence, logits, logits)
    assert (answer.start, answer.end) == (4, 5)
    assert answer.probability == pytest.approx(float(np.exp(10 - 2 * np.log(np.exp(logits).sum()))), rel=1e-5)
    if pair is None:
        with pytest.raises(ReformerError, match="puts no tokens before and between a question and its document"):
            train(checked_recipe(tables | {"model": {"special_tokens": True}}), tmp_path / "other", console=QUIET)


def test_a_reader_of_questions_scores_as_transformers_own(tmp_path):
    pair = "[CLS] $A [SEP] [SEP] $B [SEP]"
    save_with_tokenizer(tmp_path / "theirs", CHARACTERS, "bert", "questions", pair=pair)
    theirs = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "theirs").eval()
    convert_to_folder(str(tmp_path / "theirs"), tmp_path / "ours")
    ours = ReformerForQuestionAnswering.from_pretrained(tmp_path / "ours").eval()
    tokenizer = tokenizer_beside("ours", str(tmp_path / "ours"))
    sequence = encode_question(Question("王去了", "李去了北京。", "1"), tokenizer, ours.config)
    inputs = tokenizer("王去了", "李去了北京。", return_tensors="pt")["input_ids"]
    assert sequence.ids.tolist() == inputs[0].tolist()
    with torch.no_grad():
        found, expected = ours(inputs), theirs(inputs)
    assert torch.allclose(found.start_logits, expected.start_logits, atol=1e-5)
    assert torch.allclose(found.end_logits, expected.end_logits, atol=1e-5)


@pytest.mark.parametrize("transform", [False, True])
def test_a_new_vocabulary_head_may_score_by_the_embeddings_that_are_there(bert, tmp_path, transform):
    (tmp_path / "texts.txt").write_text("王小明去了北京。" * 20)
    chosen = {"tie_word_embeddings": True, "lm_transform": transform}
    tables = masked_recipe(tmp_path, max_steps=1, learning_rate=1e-9) | {"model": chosen}
    del tables["tokenizer"]
    tables["finetune"] = {"start_from": str(bert)}
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    model = load_run(tmp_path / "run").model
    assert model.lm_head.weight is model.base_model.embeddings.weight
    assert (model.lm_transform is None) != transform
    trained = read_start(str(bert)).model
    assert torch.allclose(model.lm_head.weight, trained.embeddings.weight, atol=1e-6)
    new = json.loads((tmp_path / "run" / "metrics.json").read_text())["start"]["new"]
    assert "lm_head.bias" in new
    assert "lm_head.weight" not in new
    again = tables | {"finetune": {"start_from": str(tmp_path / "run")}, "model": {"tie_word_embeddings": False}}
    with pytest.raises(FinetuningError, match=r"model\.tie_word_embeddings = False: the trained model has True"):
        train(checked_recipe(again), tmp_path / "again", console=QUIET)


def test_windows_of_a_bert_see_its_special_tokens_unless_told_otherwise(bert):
    start = read_start(str(bert))
    for chosen, expected in (
        ({"attention_layers": "local"}, [0, -1]),
        ({"attention_layers": ["full", "local+lsh", "full"]}, [0, -1]),
        ({"attention_layers": "local", "global_tokens": []}, []),
        ({"attention_layers": "local", "global_tokens": [0]}, [0]),
        ({}, []),
    ):
        assert list(start.config_with(chosen, {}).global_tokens) == expected
