"""Models, runs, checkpoints and recipes that earlier versions wrote: read today, they answer as they did then.

`tests.contract.golden.write` has written them. Equality is bit for bit on a processor like the one it ran on; on others
products round differently, and the bounds of the contract hold.
"""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.document_splits import load_splits
from reformer.tasks.documents.answer import as_json
from reformer.tasks.documents.prediction import evaluate, predict
from reformer.training.train import train
from tests.contract.golden.cases import LABELLER, MODELS, RECIPES, load, outputs, processor

# Earlier versions knew some fields by other names.
pytestmark = pytest.mark.filterwarnings("ignore:.* is now called .*:FutureWarning")

BOUND = 1e-5
RESUMED_BOUND = 1e-4
"""Of weights after some more steps of training: each step is as sensitive to rounding as a pass is."""

FOLDERS = sorted(MODELS.iterdir())


def _agree(found, expected, *, written_here: bool, bound: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        exact = written_here or not tensor.is_floating_point()
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0 if exact else bound, msg=name)


def _named_today(metrics):
    """Metrics of an earlier version by the names of today."""
    return {f"class/{name}" if name in ("LOC_f1", "PER_f1") else name: value for name, value in metrics.items()}


def test_there_is_something_to_be_held_to():
    assert [folder.name for folder in FOLDERS] == ["causal", "encoder-decoder", "labeller", "options"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_model_answers_as_it_did(folder):
    inputs = load_file(folder / "inputs.safetensors")
    with safe_open(folder / "outputs.safetensors", "pt") as file:
        written_here = file.metadata()["processor"] == processor()
    expected = load_file(folder / "outputs.safetensors")
    assert ("generated" in expected) == (folder.name in ("causal", "encoder-decoder"))
    _agree(outputs(load(folder), inputs), expected, written_here=written_here, bound=BOUND)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_model_is_saved_with_the_weights_it_had(folder, tmp_path):
    load(folder).save_pretrained(tmp_path)
    expected, found = (load_file(place / "model.safetensors") for place in (folder, tmp_path))
    _agree(found, expected, written_here=True, bound=0)


def test_a_finished_run_answers_as_it_did(monkeypatch):
    monkeypatch.chdir(LABELLER)
    run = load_run("finished")
    documents = list(load_splits(run.recipe.data, run.recipe.training.seed, join_test=True).test)
    found = [{"id": document.id} | as_json(document, answer) for document, answer in predict(run, documents)]
    # Versions before gave no probabilities, and fitted no temperature.
    assert run.calibration.temperature is None
    assert all(0 < span.pop("score") <= 1 for record in found for span in record["spans"])
    assert found == json.loads(Path("answers.json").read_text(encoding="utf-8"))
    assert sum(len(record["spans"]) for record in found) > 9
    metrics = json.loads(Path("finished/metrics.json").read_text(encoding="utf-8"))
    assert evaluate(run, documents) == pytest.approx(_named_today(metrics["test"]), abs=BOUND)


def test_an_interrupted_run_goes_on_as_it_would_have(tmp_path, monkeypatch):
    """Checkpoint, recipe and documents are those of an earlier version, and so is the run that was not interrupted."""
    folder = tmp_path / "labeller"
    shutil.copytree(LABELLER, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))
    metrics = train(read_recipe("recipe.toml"), "interrupted", resume=True, console=Console(quiet=True))
    expected = json.loads((LABELLER / "finished/metrics.json").read_text(encoding="utf-8"))
    # That version measured neighbouring texts joined alone.
    assert metrics["test_joined"] == pytest.approx(_named_today(expected["test"]), abs=RESUMED_BOUND)
    # The values of classes have other names in the history of that version.
    validation = {name: value for name, value in expected["validation"].items() if name not in ("LOC_f1", "PER_f1")}
    found = {name: value for name, value in metrics["validation"].items() if "class/" not in name}
    assert found == pytest.approx(validation, abs=RESUMED_BOUND)
    for number in ("steps", "epochs", "tokens", "weights"):
        assert metrics["training"][number] == expected["training"][number]
    weights = [load_file(place / "model.safetensors") for place in (folder / "interrupted", LABELLER / "finished")]
    written_here = (LABELLER / "processor.txt").read_text(encoding="utf-8").strip() == processor()
    _agree(*weights, written_here=written_here, bound=RESUMED_BOUND)


def test_an_interrupted_run_is_refused_another_split(tmp_path, monkeypatch):
    folder = tmp_path / "labeller"
    shutil.copytree(LABELLER, folder)
    monkeypatch.chdir(folder)
    recipe = read_recipe("recipe.toml", ["data.hold_out=stratified"])
    with pytest.raises(
        RunError, match=r"data.hold_out was 'random' and is 'stratified'\); resume it with the same one"
    ):
        train(recipe, "interrupted", resume=True, console=Console(quiet=True))


@pytest.mark.parametrize("file", sorted(RECIPES.iterdir()), ids=lambda file: file.stem)
def test_a_recipe_is_read_and_every_value_of_it_counts(file):
    recipe = read_recipe(file).model_dump()
    for table, fields in tomllib.loads(file.read_text(encoding="utf-8")).items():
        taken = list(recipe[table].values())
        assert not [name for name, value in fields.items() if value not in taken]
