"""Splits of a recipe's documents."""

import json

import numpy as np
import pytest

from reformer.data import DataError, Document
from reformer.recipe import RecipeError
from reformer.tasks.document_splits import first_part, load_splits
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import ner_recipe


@pytest.mark.parametrize(("fraction", "kept"), [(0.3, 1), (0.31, 2), (0.5, 2), (0.51, 3), (0.999, 3)])
def test_the_first_documents_with_a_share_of_the_characters(fraction, kept):
    documents = [Document(text, text) for text in ("一二三", "四五", "六七八九十")]
    assert first_part(documents, fraction) == documents[:kept]


def test_nothing_has_no_first_part():
    assert first_part([], 0.5) == []


def test_the_fraction_is_of_the_training_documents_before_they_are_joined(tmp_path):
    tables = ner_recipe(tmp_path)
    whole = load_splits(checked_recipe(tables).data, 0)
    tables["data"]["train_fraction"] = 0.5
    half = load_splits(checked_recipe(tables).data, 0)
    assert half.test == whole.test
    lengths = [sum(len(each.text.replace("\n", "")) for each in [*splits.train, *splits.validation])
               for splits in (half, whole)]  # fmt: skip
    assert lengths[0] == pytest.approx(lengths[1] / 2, rel=0.1)


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_a_fraction_that_is_none_is_refused(fraction, tmp_path):
    tables = ner_recipe(tmp_path)
    tables["data"]["train_fraction"] = float(fraction)
    with pytest.raises(RecipeError, match=r"data\.train_fraction"):
        checked_recipe(tables)


def _recipe(task, **data):
    return checked_recipe({"data": data, "training": {"task": task, "epochs": 1}}).data


def _classes(tmp_path, rows, name="a.csv", **data):
    (tmp_path / name).write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    return _recipe("sequence-classification", train=str(tmp_path / name), **data)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_that_occurs_once_is_learned_from_and_told_to_be_unmeasured(tmp_path, seed):
    rows = [f"文本{number},{'pos' if number % 2 else 'neg'}" for number in range(9)]
    splits = load_splits(_classes(tmp_path, [*rows, "别的,rare"]), seed)
    assert "rare" in {document.label for document in splits.train}
    assert any("no validation text has" in line and "rare (1 in training)" in line for line in splits.cautions)


def test_two_texts_of_two_classes_cannot_be_split(tmp_path):
    with pytest.raises(DataError, match="each of the 2 training documents is the only one with some label"):
        load_splits(_classes(tmp_path, ["很好,pos", "很差,neg"]), 0)


def test_texts_that_occur_often_are_on_one_side(tmp_path):
    splits = load_splits(_classes(tmp_path, [f"文本{number % 10},{'ab'[number % 2]}" for number in range(200)]), 0)
    assert splits.validation
    assert not {each.text for each in splits.train} & {each.text for each in splits.validation}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_held_out_texts_that_are_learned_from_are_told(tmp_path, part):
    rows = [f"文本{number},{'ab'[number % 2]}" for number in range(10)]
    _classes(tmp_path, [*rows[:4], "新的,a"], name="b.csv")
    splits = load_splits(_classes(tmp_path, rows, **{part: str(tmp_path / "b.csv")}), 0)
    assert any(f"4 of 5 {part} texts are in the training part, too" in line for line in splits.cautions)


def test_texts_that_chance_holds_out_and_leaves_in_training_are_told(tmp_path):
    rows = [f"文本{number % 5},{'ab'[number % 2]}" for number in range(40)]
    splits = load_splits(_classes(tmp_path, rows, hold_out="random"), 0)
    count = len(splits.validation)
    assert any(f"{count} of {count} validation texts are in the training part, too" in line for line in splits.cautions)


def _spans(path, texts):
    lines = [
        json.dumps({"text": text, "spans": [{"start": 0, "end": 1, "label": "A"}], "doc": doc}) for text, doc in texts
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_short_texts_are_held_out_before_they_are_joined(tmp_path):
    train = _spans(tmp_path / "a.jsonl", [(f"第{number}个文本", 0) for number in range(30)])
    splits = load_splits(_recipe("token-classification", train=train, max_length=2000, validation_fraction=0.1), 0)
    [learned], [held_out] = splits.train, splits.validation
    assert (learned.text.count("\n"), held_out.text.count("\n")) == (26, 2)
    assert any("27 training texts were joined to 1 document" in line for line in splits.cautions)


def test_texts_of_one_group_are_on_one_side(tmp_path):
    train = _spans(tmp_path / "a.jsonl", [(f"第{number}个文本", f"d{number // 10}") for number in range(100)])
    data = {"train": train, "validation_fraction": 0.1, "group_column": "doc"}
    splits = load_splits(_recipe("token-classification", **data), 0)
    assert len(splits.validation) == 10
    assert len({int(each.text[1:-3]) // 10 for each in splits.validation}) == 1
    with pytest.raises(DataError, match="there is no column 'author'; the columns are 'text', 'spans', 'doc'"):
        load_splits(_recipe("token-classification", **data | {"group_column": "author"}), 0)


def test_folds_hold_out_every_text_once(tmp_path):
    rows = [f"文本{number},{'ab'[number % 2]}" for number in range(20)]
    parts = [load_splits(_classes(tmp_path, rows, folds=4, fold=number), 0) for number in (1, 2, 3, 4)]
    assert sorted(each.text for splits in parts for each in splits.validation) == sorted(row[:-2] for row in rows)


@pytest.mark.parametrize("data", [{"fold": 3, "folds": 2}, {"fold": 1}, {"folds": 2, "validation": "b.csv"}])
def test_folds_that_do_not_fit_are_refused(tmp_path, data):
    with pytest.raises(RecipeError, match="fold"):
        _classes(tmp_path, ["a,b"], **data)


def test_all_bad_records_are_told_at_once(tmp_path):
    rows = ["好,pos", "坏,", ",neg", *(f"文本{number},{'ab'[number % 2]}" for number in range(40)), "a,b,c"]
    with pytest.raises(DataError) as raised:
        load_splits(_classes(tmp_path, rows), 0)
    message = str(raised.value)
    assert "3 records cannot be learned from" in message
    for line in (3, 4, 45):
        assert f"a.csv:{line}: " in message
    assert "or leave them out: --skip-bad (data.skip_bad = true in a recipe)" in message


def test_one_bad_record_is_told_as_itself(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv:3: the column 'label' is empty.*or leave it out: --skip-bad"):
        load_splits(_classes(tmp_path, ["好,pos", "坏,"]), 0)


def test_many_bad_records_are_counted(tmp_path):
    with pytest.raises(DataError, match=r"70 records cannot be learned from(.|\n)*and 50 more"):
        load_splits(_classes(tmp_path, ["坏,"] * 70), 0)


def test_bad_records_can_be_left_out(tmp_path):
    rows = ["坏,", *(f"文本{number},{'ab'[number % 2]}" for number in range(40))]
    splits = load_splits(_classes(tmp_path, rows, skip_bad=True), 0)
    assert len(splits.train) + len(splits.validation) == 40


def test_random_holds_out_joined_documents_whatever_their_labels(tmp_path):
    tables = ner_recipe(tmp_path)
    tables["data"]["hold_out"] = "random"
    splits = load_splits(checked_recipe(tables).data, 3)
    order = np.random.default_rng(3).permutation(len(splits.train) + len(splits.validation))
    assert len(splits.validation) == max(1, round(0.2 * len(order)))
    assert all(len(each.text) > 20 for each in [*splits.train, *splits.validation[:-1]])
    ids = sorted([*splits.train, *splits.validation], key=lambda each: int(each.source.rpartition(":")[2]))
    assert [ids.index(each) for each in splits.validation] == sorted(order[: len(splits.validation)].tolist())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"validation": "b.csv"}, "with a validation file nothing is held out"),
        ({"folds": 2}, "knows no folds"),
        ({"group_column": "doc"}, "knows no group_column"),
    ],
)
def test_random_beside_what_it_would_not_look_at_is_refused(tmp_path, data, message):
    with pytest.raises(RecipeError, match=message):
        _classes(tmp_path, ["a,b"], hold_out="random", **data)
