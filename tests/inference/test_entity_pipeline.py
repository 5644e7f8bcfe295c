"""transformers' pipeline on a run folder gives the entities of `reformer predict`."""

import copy

import pytest
from rich.console import Console
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from reformer.data import Document
from reformer.errors import ReformerError
from reformer.inference.entity_pipeline import TASK, register_pipeline
from reformer.runs.loading import load_run
from reformer.tasks.documents.prediction import predict
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe

TEXTS = ["张伟去了Bern和上海的ABB。", "王小明去了Zürich2024", "😀 é 李华 在北京 "]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(checked_recipe(ner_recipe(folder, max_steps=30)), folder / "run", console=Console(quiet=True))
    return load_run(folder / "run")


@pytest.fixture(scope="module")
def characters_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("characters")
    tables = ner_recipe(folder, max_steps=30, entity_types=["PER", "LOC"])
    tables["tokenizer"] = {"kind": "byte"}
    tables["model"] |= {"classifier_crf": True, "classifier_reads": "characters"}
    train(checked_recipe(tables), folder / "run", console=Console(quiet=True))
    return load_run(folder / "run")


@pytest.fixture(autouse=True)
def registered():
    before = dict(PIPELINE_REGISTRY.supported_tasks)
    register_pipeline()
    yield
    PIPELINE_REGISTRY.supported_tasks.update(before)


def _expected(run, strategy):
    run = run.task.as_asked(run, PredictOptions(aggregation_strategy=strategy))
    answers = predict(run, [Document(text, text) for text in TEXTS])
    return [[(span.start, span.end, span.label, span.score) for span in answer.spans] for _, answer in answers]


def _found(entities):
    return [(each["start"], each["end"], each["entity_group"], each["score"]) for each in entities]


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
@pytest.mark.parametrize("kind", ["run", "characters_run"])
def test_each_strategy_gives_the_entities_of_predict(strategy, kind, request):
    run = request.getfixturevalue(kind)
    label = pipeline(TASK, str(run.folder), aggregation_strategy=strategy)
    expected = _expected(run, strategy)
    assert sum(map(len, expected)) > 3
    for options in ({}, {"batch_size": 2}):
        found = label(TEXTS, **options)
        places = [[entity[:3] for entity in _found(each)] for each in found]
        assert places == [[entity[:3] for entity in each] for each in expected]
        scores = [[score for *_, score in _found(each)] for each in found]
        assert scores == [pytest.approx([score for *_, score in each], abs=1e-5) for each in expected]
    assert [entity[:3] for entity in _found(label(TEXTS[0]))] == places[0]


def test_words_are_the_texts_own_and_types_can_be_left_out(run):
    label = pipeline("ner", str(run.folder), aggregation_strategy="average")
    entities = label(TEXTS[0])
    assert all(each["word"] == TEXTS[0][each["start"] : each["end"]] for each in entities)
    left = label(TEXTS[0], ignore_labels=["PER"])
    assert left == [each for each in entities if each["entity_group"] != "PER"]
    assert left != entities


def test_without_a_strategy_it_is_transformers_own(run):
    label = pipeline(TASK, str(run.folder))
    entities = label("张伟")
    assert [set(each) for each in entities] == [{"entity", "score", "index", "word", "start", "end"}] * len(entities)


def test_what_means_nothing_is_refused(run, characters_run):
    label = pipeline(TASK, str(run.folder), aggregation_strategy="max")
    with pytest.raises(ReformerError, match="is_split_into_words: entities are found in texts, which are read whole"):
        label(["张伟", "去了"], is_split_into_words=True)
    with pytest.raises(ReformerError, match="text 1: this document has no token"):
        label("")
    label = pipeline(TASK, str(characters_run.folder))
    with pytest.raises(ReformerError, match="this model labels characters: give simple, first, average or max"):
        label("张伟")


def test_a_model_of_no_run_folder_is_transformers_own(run, tmp_path):
    model, tokenizer = copy.deepcopy(run.model), run.processor
    model.name_or_path = str(tmp_path)
    own = pipeline(TASK, model=model, tokenizer=tokenizer, aggregation_strategy="simple")("张伟")
    PIPELINE_REGISTRY.supported_tasks[TASK] = PIPELINE_REGISTRY.supported_tasks[TASK] | {
        "impl": "transformers.pipelines.token_classification.TokenClassificationPipeline"
    }
    assert own == pipeline(TASK, model=model, tokenizer=tokenizer, aggregation_strategy="simple")("张伟")
