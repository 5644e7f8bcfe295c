"""Recipes as text: valid for every task, with the figures of the data, and one message for what teaches nothing."""

import tomllib
from dataclasses import replace

import pytest

from reformer.advice import table
from reformer.advice.profile import Profile
from reformer.advice.recipe_text import recipe_for, toml_value
from reformer.advice.records import CLASSES, ENTITIES, MASKED, QUESTIONS, TASKS, TEXT
from reformer.advice.table import FIELDS, START
from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.tasks.recipe_checks import checked_recipe

FOUND = Profile(
    documents=1000,
    characters=100_000,
    median_length=80,
    longest=300,
    piece_counts=(300, *(100,) * 998, 0),
    scripts={"CJK": 0.95, "LATIN": 0.05},
    letters=0.9,
    classes={"pos": 600, "neg": 400},
    several_labels=False,
    entities={"PER": 300, "LOC": 200},
    borders_in_words=0.9,
    overlapping=0,
    repeated=0,
)


def _recipe(task: str, found: Profile = FOUND, data: dict | None = None, **options) -> dict:
    text = recipe_for(task, data or {"train": "a.csv"}, found, **options)
    tables = tomllib.loads(text)
    checked_recipe(tables)
    return tables


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"longest": 100_000, "piece_counts": (90_000,) * 1000},
        {"scripts": {"LATIN": 1.0}},
        {"scripts": {}, "letters": 0.0},
        {"borders_in_words": 0.0},
        {"characters": 50_000_000, "piece_counts": (100,) * 500_000, "documents": 500_000},
        {"documents": 12, "characters": 100},
    ],
)
def test_a_recipe_of_each_task_is_valid(task, offline, change):
    tables = _recipe(task, replace(FOUND, **change), neighbours=True, offline=offline, minutes=7)
    assert tables["training"]["task"] == task
    assert tables["training"]["max_minutes"] == 7
    if offline:
        assert "finetune" not in tables


def test_a_data_set_with_a_split_of_its_own_holds_nothing_out():
    assert "validation_fraction" not in _recipe(CLASSES, data={"source": "index:chinese-reviews"})["data"]
    assert _recipe(CLASSES)["data"]["validation_fraction"] == 0.2
    assert _recipe(CLASSES, replace(FOUND, documents=100_000))["data"]["validation_fraction"] == 0.02


def test_few_texts_of_a_language_begin_with_the_pretrained_model():
    for task in (ENTITIES, CLASSES):
        tables = _recipe(task)
        assert tables["finetune"]["start_from"] == START
        assert tables["tokenizer"] == {"kind": "start", "vocabulary": "used"}
    assert _recipe(ENTITIES)["model"]["classifier_reads"] == "characters"
    assert "classifier_reads" not in _recipe(ENTITIES, offline=True)["model"]


@pytest.mark.parametrize(
    ("change", "options", "why"),
    [
        ({"piece_counts": (22_000, 1)}, {}, "the longest text has some 22,000 pieces, too many for the positions"),
        ({"piece_counts": (400,) * 25_000}, {}, "in 15 minutes the pretrained model would read 0.1 times"),
        ({}, {"minutes": 0.5}, "in 0.5 minutes the pretrained model would read 0.3 times"),
        ({"letters": 0.1}, {}, "10% of the characters are letters"),
        ({}, {"offline": True}, "--offline"),
    ],
)
def test_a_model_begins_from_nothing_where_the_pretrained_one_does_not_fit(change, options, why):
    for task in (ENTITIES, CLASSES):
        found = replace(FOUND, **change)
        assert "finetune" not in _recipe(task, found, **options)
        told = " ".join(recipe_for(task, {"train": "a.csv"}, found, **options).replace("\n# ", " ").split())
        assert why in told


def test_long_texts_are_evaluated_less_often_and_fewer_of_them():
    short, long = FOUND, replace(FOUND, documents=1500, piece_counts=(1000,) * 1500)
    assert _recipe(CLASSES, short)["training"]["num_evaluations"] == table.EVALUATIONS
    tables = _recipe(CLASSES, long)
    assert tables["training"]["num_evaluations"] == table.MIN_EVALUATIONS
    assert tables["data"]["validation_fraction"] * 1500 == pytest.approx(table.MIN_VALIDATION, rel=0.05)
    # With time enough there are as many as elsewhere.
    tables = _recipe(CLASSES, long, minutes=150)
    assert tables["training"]["num_evaluations"] == table.EVALUATIONS
    # A small model reads them fast.
    assert _recipe(CLASSES, long, offline=True)["training"]["num_evaluations"] == table.EVALUATIONS


def test_a_wide_part_is_as_wide_as_the_labels_allow(monkeypatch):
    few, many = (
        _recipe(CLASSES)["model"],
        _recipe(CLASSES, replace(FOUND, classes={f"c{n}": 4 for n in range(200)}))["model"],
    )
    assert many["wide_rows"] * 200 <= table.WIDE_WEIGHTS < few["wide_rows"] * 200
    assert few["wide_sizes"] == [1, 2, 3]
    assert few["wide_reads"] == "characters"
    fresh = _recipe(CLASSES, offline=True)["model"]
    assert fresh["wide_sizes"] == [1, 2, 3]
    assert fresh["wide_dropout"] == 0
    assert "wide_dropout" not in few
    types = {f"t{n}": 9 for n in range(13)}
    assert (
        not {"wide_sizes", "classifier_crf"}
        & _recipe(ENTITIES, replace(FOUND, entities=types), offline=True)["model"].keys()
    )
    assert _recipe(ENTITIES, offline=True)["model"]["wide_sizes"] == [1, 2, 3]
    assert "wide_sizes" not in _recipe(ENTITIES)["model"]


def test_entities_that_lie_over_each_other_are_all_labelled():
    assert _recipe(ENTITIES, replace(FOUND, overlapping=1))["data"]["on_overlap"] == "keep"
    assert "on_overlap" not in _recipe(ENTITIES)["data"]
    assert "on_overlap" not in _recipe(CLASSES, replace(FOUND, overlapping=1))["data"]


def test_neighbours_are_joined_to_documents_that_are_enough():
    assert "max_length" not in _recipe(ENTITIES)["data"]
    assert _recipe(ENTITIES, neighbours=True)["data"]["max_length"] == int(0.9 * 440 * 100_000 / 100_100)
    small = replace(FOUND, characters=10_000, piece_counts=(10,) * 1000)
    assert _recipe(ENTITIES, small, neighbours=True)["data"]["max_length"] == 100
    assert _recipe(ENTITIES, neighbours=True, offline=True)["data"]["max_length"] == 1000


def test_the_pretrained_model_has_positions_and_windows_for_texts_that_are_longer_than_its_own():
    assert "max_position_embeddings" not in _recipe(CLASSES, replace(FOUND, piece_counts=(440, 80)))["model"]
    for task in (ENTITIES, CLASSES):
        model = _recipe(task, replace(FOUND, piece_counts=(1000, 80)))["model"]
        assert model["max_position_embeddings"] == 2048
        assert model["attention_layers"] == "local"
        assert model["global_tokens"] == [0, -1]


def test_a_classifier_keeps_all_layers_where_there_is_time_for_them():
    assert "keep_layers" not in _recipe(CLASSES)["finetune"]
    many = replace(FOUND, piece_counts=(100,) * 3000)
    assert _recipe(CLASSES, many, minutes=15)["finetune"]["keep_layers"] == table.LOWER_HALF
    assert "keep_layers" not in _recipe(CLASSES, many, minutes=30)["finetune"]


def test_a_pretrained_model_passes_over_few_texts_more_often():
    assert "epochs" not in _recipe(CLASSES, offline=True)["training"]
    assert _recipe(CLASSES)["training"]["epochs"] == pytest.approx(table.MIN_STEPS[CLASSES] * 2048 / 100_100, abs=0.1)
    enough = replace(FOUND, documents=9600, piece_counts=(100,) * 9600)
    assert _recipe(CLASSES, enough)["training"]["epochs"] == table.PASSES[CLASSES]
    few = replace(FOUND, documents=60, characters=600, piece_counts=(10,) * 60)
    # 60 texts are two batches of 32.
    assert _recipe(CLASSES, few)["training"]["epochs"] == pytest.approx(table.MIN_STEPS[CLASSES] * 32 / 60, abs=0.1)
    assert _recipe(ENTITIES, few)["training"]["epochs"] == table.MIN_STEPS[ENTITIES]


def test_hashed_layers_are_for_texts_longer_than_windows():
    assert _recipe(CLASSES, replace(FOUND, longest=150), offline=True)["model"]["attention_layers"] == ["local"] * 2
    assert "local+lsh" in _recipe(CLASSES, offline=True)["model"]["attention_layers"]


def test_positions_of_a_reader_of_questions_have_room_for_the_longest():
    model = _recipe(QUESTIONS, replace(FOUND, longest=5000))["model"]
    assert model["max_position_embeddings"] == 16384 == model["axial_pos_shape"][0] * model["axial_pos_shape"][1]


def test_sequences_of_a_text_are_longer_where_there_is_more_of_it():
    lengths = [
        _recipe(TEXT, replace(FOUND, characters=count))["data"]["sequence_length"] for count in (10**5, 10**6, 10**8)
    ]
    assert lengths == [512, 1024, 2048]


def test_the_comments_have_the_figures():
    text = recipe_for(CLASSES, {"train": "a.csv"}, replace(FOUND, repeated=3))
    assert "# 1,000 texts: 100,000 characters; 80 at the median, 300 at most\n" in text
    assert "# 90% letters, of them 95% CJK, 5% LATIN\n" in text
    assert "# 2 classes: pos 600, neg 400\n" in text
    assert "# 3 repeat a text before them" in text
    assert "# 500 entities: PER 300, LOC 200\n" in recipe_for(ENTITIES, {"train": "a.conll"}, FOUND)
    assert max(map(len, text.splitlines())) <= 120


def test_many_classes_are_named_in_part():
    text = recipe_for(CLASSES, {"train": "a.csv"}, replace(FOUND, classes={f"c{n}": 200 - n for n in range(100)}))
    assert "c11 189, ... and the smallest 101" in text.replace("\n# ", " ")
    assert "c12" not in text


@pytest.mark.parametrize(
    "name", ['a "b".csv', "a\\b.csv", "a\nb\t.csv", "[x]\x7f\x9b\u202e\x1b[2J.csv", "'''#.csv", "评论.csv"]
)
def test_names_and_labels_of_users_are_quoted(name):
    data = {"train": name, "text_column": name, "label_column": name}
    found = replace(FOUND, classes={name: 600, "b": 400})
    text = recipe_for(CLASSES, data, found)
    assert {key: tomllib.loads(text)["data"][key] for key in data} == data
    assert not {"\x1b", "\x7f", "\x9b", "\u202e"} & set(text)


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ReformerError, match="a recipe is UTF-8"):
        recipe_for(CLASSES, {"train": "a\udcff.csv"}, FOUND)


def test_values_are_toml():
    for value in (True, 3, 0.5, 1e-4, "a\x1b", [1, 2], ["local", "lsh"]):
        assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        (CLASSES, {"documents": 9}, "a.csv: 9 records, and at least 10"),
        (CLASSES, {"documents": 20, "classes": {f"c{n}": 1 for n in range(11)}}, "11 different labels for 20 texts"),
        (CLASSES, {"classes": {"only": 1000}}, "every text has the label 'only'"),
        (ENTITIES, {"entities": {}}, "no text has an entity.*masked-language-modelling"),
    ],
)
def test_what_teaches_nothing_is_an_error(task, change, message):
    with pytest.raises(DataError, match=message):
        recipe_for(task, {"train": "a.csv"}, replace(FOUND, **change))


def test_every_field_of_the_table_is_in_its_recipe():
    for (task, start), tables in FIELDS.items():
        found = _recipe(task, offline=start == "fresh")
        for part, fields in tables.items():
            assert found[part].items() >= fields.items(), (task, start)
    assert _recipe(MASKED)["model"]["ngram_min_frequency"] == 3
