"""A run's folder: only what a run has written is ever replaced or removed."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from reformer.runs.folder import (
    MARKER,
    RunError,
    check_free,
    check_output,
    end_finished,
    end_move,
    make_folder,
    remove_unneeded,
    write_metrics,
)
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import ner_recipe

GOLDEN = Path(__file__).parents[1] / "contract/golden/labeller"


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "data").mkdir()
    return checked_recipe(ner_recipe(tmp_path / "data"))


def _finish(recipe, folder, weights=b"new"):
    (folder / "model.safetensors").write_bytes(weights)
    marker = folder / MARKER
    marker.write_text(marker.read_text().replace('"metrics.json"', '"metrics.json", "model.safetensors"'))
    write_metrics({}, folder)


def test_a_folder_that_merely_has_a_recipe_is_never_taken(tmp_path, recipe):
    folder = tmp_path / "mine"
    (folder / "logs").mkdir(parents=True)
    (folder / "recipe.toml").write_text("mine", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="not known as the folder of a run"):
            check_free(folder, overwrite=overwrite)
    assert (folder / "recipe.toml").read_text(encoding="utf-8") == "mine"


def test_the_current_folder_and_the_recipe_s_are_refused(tmp_path, monkeypatch):
    (tmp_path / "exp/inner").mkdir(parents=True)
    recipe = tmp_path / "exp/recipe.toml"
    recipe.touch()
    (tmp_path / "link").symlink_to("exp")
    for folder in (tmp_path / "exp", tmp_path / "link", tmp_path / "exp/inner/..", tmp_path):
        with pytest.raises(RunError, match="folder of the recipe"):
            check_output(folder, recipe)
    check_output(tmp_path / "exp/run", recipe)
    monkeypatch.chdir(tmp_path / "exp/inner")
    for folder in (Path(), Path(".."), tmp_path / "exp"):
        with pytest.raises(RunError, match="current folder"):
            check_free(folder, overwrite=True)


def test_the_start_of_a_run_is_not_replaced_by_it(tmp_path, recipe):
    make_folder(tmp_path / "run", recipe)
    with pytest.raises(RunError, match="starts from the model in this folder"):
        check_free(tmp_path / "run", overwrite=True, start=str(tmp_path / "data/../run"))


def test_a_run_is_not_put_among_the_data_that_it_reads(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (tmp_path / "link").symlink_to("texts")
    for data in (texts, tmp_path / "link", tmp_path / "texts/../texts"):
        for folder in (texts, texts / "run", texts / "runs/a"):
            with pytest.raises(RunError, match="all of which is read as data; give an --output outside of it"):
                check_free(folder, overwrite=True, data=[str(data)])
    (texts / "a.txt").touch()
    check_free(tmp_path / "run", overwrite=False, data=[str(texts)])
    check_free(texts / "run", overwrite=False, data=[str(texts / "a.txt")])


def test_a_finished_run_is_kept_until_the_new_one_is_whole(tmp_path, recipe):
    folder = tmp_path / "run"
    assert make_folder(folder, recipe) is None
    _finish(recipe, folder, b"old")
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="--overwrite to replace a run"):
        check_free(folder, overwrite=False)
    check_free(folder, overwrite=True)
    kept = make_folder(folder, recipe)
    assert kept == tmp_path / "run.replaced"
    assert (kept / "model.safetensors").read_bytes() == b"old"
    assert not (folder / "model.safetensors").exists()
    # Killed before a checkpoint and begun again: the last whole run is still the one that is kept.
    check_free(folder, overwrite=True)
    assert make_folder(folder, recipe) == kept
    # Stopped with a checkpoint and begun again: both are kept.
    (folder / "checkpoints/checkpoint-5").mkdir(parents=True)
    (folder / "checkpoints/checkpoint-5/trainer_state.json").touch()
    second = make_folder(folder, recipe)
    assert second == tmp_path / "run.replaced-2"
    assert (kept / "model.safetensors").read_bytes() == b"old"
    _finish(recipe, folder)
    remove_unneeded(folder)
    assert sorted(os.listdir(tmp_path)) == ["data", "run"]
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "mine"
    assert (folder / "model.safetensors").read_bytes() == b"new"


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_move_that_is_cut_short_is_ended_by_the_next_start(tmp_path, recipe, monkeypatch, moment):
    folder, kept = tmp_path / "run", tmp_path / "run.replaced"
    make_folder(folder, recipe)
    _finish(recipe, folder, b"old")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKER}
    calls = []

    def cut(name):
        whole = getattr(os, name)

        def counted(*arguments, **options):
            calls.append(name)
            if len(calls) == moment:
                raise KeyboardInterrupt
            return whole(*arguments, **options)

        monkeypatch.setattr(os, name, counted)

    for name in ("rename", "replace", "mkdir"):
        cut(name)
    with suppress(KeyboardInterrupt):
        make_folder(folder, recipe)
    monkeypatch.undo()
    there = {path.name: path.read_bytes() for place in (folder, kept) if place.is_dir() for path in place.iterdir()}
    assert {name for name in before if name != "recipe.toml" and there.get(name) != before[name]} == set()
    end_move(folder)
    check_free(folder, overwrite=True)
    assert make_folder(folder, recipe) == kept
    assert {path.name: path.read_bytes() for path in kept.iterdir() if path.name != MARKER} == before
    _finish(recipe, folder)
    remove_unneeded(folder)
    assert sorted(os.listdir(tmp_path)) == ["data", "run"]


def test_a_finished_run_that_was_ended_before_it_had_cleaned_up_does_so(tmp_path, recipe):
    folder = tmp_path / "run"
    make_folder(folder, recipe)
    _finish(recipe, folder)
    with pytest.raises(RunError, match="this run is finished"):
        end_finished(folder)
    for place in ("checkpoints/.unfinished/checkpoint-4", "start"):
        (folder / place).mkdir(parents=True)
    (folder / "start/inputs.json").touch()
    assert end_finished(folder) == {}
    assert not {"start", "checkpoints"} & set(os.listdir(folder))
    with pytest.raises(RunError, match="this run is finished"):
        end_finished(folder)


def test_a_list_that_cannot_be_read_is_not_written_anew(tmp_path, recipe, monkeypatch):
    folder = tmp_path / "run"
    make_folder(folder, recipe)
    _finish(recipe, folder)
    before = (folder / MARKER).read_bytes()

    def fail(path):
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(OSError, match="Input/output error"):
            remove_unneeded(folder)
    assert (folder / MARKER).read_bytes() == before


def test_a_file_of_the_user_that_a_run_would_write_is_not_replaced(tmp_path, recipe):
    make_folder(tmp_path / "run", recipe)
    (tmp_path / "run/config.json").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match=r"config\.json: the run in this folder has not written this"):
        check_free(tmp_path / "run", overwrite=True)


@pytest.mark.parametrize("name", ["../outside", "outside", "run", ".."])
def test_a_hostile_list_leads_nowhere(tmp_path, recipe, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "dear.txt").touch()
    make_folder(tmp_path / "run", recipe)
    (tmp_path / "run" / MARKER).write_text(
        f'{{"written": ["../outside/*", "{outside}/dear.txt", "recipe.toml"], "replaced": "{name}"}}'
    )
    remove_unneeded(tmp_path / "run")
    make_folder(tmp_path / "run", recipe)
    assert (outside / "dear.txt").exists()


@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_a_run_of_a_version_without_a_list_can_be_overwritten(tmp_path, recipe, state):
    shutil.copytree(GOLDEN / state, tmp_path / "run")
    (tmp_path / "run/thesis.txt").write_text("mine", encoding="utf-8")
    check_free(tmp_path / "run", overwrite=True)
    kept = make_folder(tmp_path / "run", recipe)
    assert sorted(os.listdir(tmp_path / "run")) == [MARKER, "recipe.toml", "thesis.txt"]
    _finish(recipe, tmp_path / "run")
    remove_unneeded(tmp_path / "run")
    assert not kept.exists()
    assert read_recipe(tmp_path / "run/recipe.toml") == recipe
