"""The ways to fine-tune are what the case says, before anything is trained."""

import pytest

from benchmarks.contenders import fine_tuning
from benchmarks.registry import CASES


@pytest.mark.parametrize("way", ["start", "backward", *fine_tuning.WAYS])
def test_every_way_keeps_its_contract(way):
    assert fine_tuning._check(way)


def test_every_way_is_there_for_both_data_sets():
    case = CASES["fine-tuning"]
    ways = {(each.options["data"], each.options["way"]) for each in case.contenders}
    assert ways >= {(data, way) for data in fine_tuning.DATA for way in fine_tuning.WAYS}
    reached = {each.name: [action for action in case.actions if each.reaches(80, action)] for each in case.contenders}
    assert reached["people-daily: start"] == ["train"]
    assert reached["people-daily: backward"] == ["step"]
    assert reached["people-daily: lora"] == ["step", "train"]
    assert reached["chinese-reviews: lora"] == ["train"]


@pytest.mark.parametrize("data", fine_tuning.DATA)
@pytest.mark.parametrize("way", fine_tuning.WAYS)
def test_every_way_is_a_recipe(data, way):
    from reformer.tasks.recipe_checks import checked_recipe

    changed = (
        fine_tuning.NEW_HEAD.get(way, fine_tuning.WAYS[way]) if data == "chinese-reviews" else fine_tuning.WAYS[way]
    )
    tables = fine_tuning._tables(data, 2) | {"finetune": {"start_from": "there", **changed}}
    assert checked_recipe(tables).training.max_steps == 2
