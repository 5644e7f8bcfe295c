"""A run folder whose files do not belong together, or are damaged, is one message."""

import json
import shutil

import pytest

from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.finetuning import FinetuningError
from reformer.runs.folder import MARKER, RunError, check_free
from reformer.runs.loading import load_run
from tests.fuzz import seeds


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tables = seeds.recipes(folder / "data")
    seeds.write_runs(folder / "runs", {name: tables[name] for name in ("labeller", "series", "pairs")})
    return folder / "runs"


@pytest.fixture
def run(request, runs, tmp_path):
    return shutil.copytree(runs / request.param, tmp_path / "run")


def _store(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")


@pytest.mark.parametrize("run", ["labeller", "adapter"], indirect=True)
def test_a_tokenizer_of_another_model_is_refused(run):
    load_run(run)
    tokenizer = json.loads((run / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["𠮷"] = len(vocabulary)
    _store(run / "tokenizer.json", model=tokenizer["model"])
    with pytest.raises(RunError, match=r"its tokenizer has \d+ tokens and pads with 0, its model embeds \d+ and pads"):
        load_run(run)


@pytest.mark.parametrize("run", ["labeller"], indirect=True)
@pytest.mark.parametrize("token", [10**30, -1, 5000])
def test_a_token_outside_the_vocabulary_is_refused(run, token):
    _store(run / "config.json", pad_token_id=token)
    with pytest.raises(RunError, match=rf"pad_token_id={token}: expected a token of the vocabulary"):
        load_run(run)


@pytest.mark.parametrize("run", ["labeller", "adapter"], indirect=True)
def test_fields_of_other_loaders_are_left_out_of_a_run(run):
    _store(run / "config.json", attn_implementation="org/kernel", quantization_config={"bits": 4})
    with pytest.warns(UserWarning, match="which are left out: attn_implementation, quantization_config"):
        model = load_run(run).model
    assert model.config._attn_implementation != "org/kernel"
    assert not hasattr(model.config, "quantization_config")


@pytest.mark.parametrize("run", ["adapter"], indirect=True)
@pytest.mark.parametrize("fields", [{"r": 10**9}, {"base_model_name_or_path": 5}, {"base_model_name_or_path": "run"}])
def test_a_hostile_adapter_is_refused(run, fields, monkeypatch):
    monkeypatch.chdir(run.parent)
    _store(run / "adapter_config.json", **fields)
    with pytest.raises(FinetuningError, match=r"r = 1000000000|names no base_model|whose weights are no longer"):
        load_run(run)


@pytest.mark.parametrize("run", ["pairs"], indirect=True)
def test_stored_settings_of_generation_are_not_those_of_a_run(run):
    before = load_run(run).model.generation_config
    _store(run / "generation_config.json", bos_token_id={"a": 1}, num_beams=10**6, custom_generate="some/where")
    assert load_run(run).model.generation_config == before


@pytest.mark.parametrize("run", ["series"], indirect=True)
@pytest.mark.parametrize(
    "fields", [{"unit": "h"}, {"step": 0}, {"columns": []}, {"season_errors": ["x"]}, {"season": None}], ids=str
)
def test_a_damaged_reader_of_series_is_refused(run, fields):
    _store(run / "series.json", **fields)
    with pytest.raises(DataError, match=r"series\.json: .*; train the model again"):
        load_run(run)


@pytest.mark.parametrize("run", ["series"], indirect=True)
def test_a_recipe_of_another_horizon_is_refused(run):
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("prediction_length = 12", "prediction_length = 2"))
    with pytest.raises(RunError, match="its recipe predicts 2 steps, and its model 12; put back the files"):
        load_run(run)


@pytest.mark.parametrize("run", ["series", "labeller"], indirect=True)
@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\udcff", "null"], ids=repr)
@pytest.mark.parametrize("name", ["config.json", "series.json", "tokenizer.json", "recipe.toml", MARKER])
def test_a_file_that_is_no_object_is_one_message(run, name, text):
    if not (run / name).exists():
        pytest.skip("this run has no such file")
    (run / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    if name == MARKER:
        with pytest.raises(RunError, match="it is not known as the folder of a run"):
            check_free(run, overwrite=True)
    else:
        with pytest.raises(ReformerError):
            load_run(run)
