"""Images in, labels out: from IDX files and from folders with a table."""

import gzip
import json
import struct
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import DataError, load_digits, read_images
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import MODEL

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


def _bars(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Images of 4 x 6 pixels with a line that lies or stands."""
    pick = np.random.default_rng(seed)
    images, labels = pick.integers(0, 60, (count, 4, 6)).astype(np.uint8), []
    for image in images:
        lies = bool(pick.integers(2))
        labels.append("lies" if lies else "stands")
        if lies:
            image[pick.integers(4), :] = 250
        else:
            image[:, pick.integers(6)] = 250
    return images, labels


def _write_folder(folder, count, seed=0):
    folder.mkdir()
    images, labels = _bars(count, seed)
    rows = ["file,label"]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Pillow.fromarray(image).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label}")
    (folder / "images.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "images.csv"


def _write_idx(path, array):
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    tables = {
        "data": {
            "train": str(_write_folder(folder / "train", 120)),
            "test": str(_write_folder(folder / "test", 20, seed=1)),
            "validation_fraction": 0.2,
        },
        "model": dict(MODEL) | {"attention_layers": ["full"], "hidden_dropout_prob": 0.0},
        "training": {
            "task": "image-classification",
            "max_steps": 40,
            "learning_rate": 1e-2,
            "batch_size": 32,
            "num_evaluations": 2,
            "device": "cpu",
        },
    }
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    result = RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder


def test_a_folder_with_a_table_is_learned(run):
    metrics = json.loads((run / "run/metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    assert metrics["test"]["images"] == 20
    result = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(run / "test/images.csv")])
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": 4}, "6 x 4 pixels, and model.patch_size = 4; take one that divides both sides"),
        ({"max_position_embeddings": 23}, "makes 24 tokens of them, more than model.max_position_embeddings = 23"),
    ],
)
def test_squares_that_do_not_fit_are_named_before_training(run, tmp_path, fields, message):
    tables = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    tables["model"] |= fields
    with pytest.raises(DataError, match=message):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))


def test_bad_images_are_named_and_the_others_are_answered(run, tmp_path):
    folder = run / "test"
    Pillow.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "tall.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "a.csv").write_text(f"file\n{folder}/0.png\nbroken.png\nnowhere.png\ntall.png\n{folder}/1.png\n")
    result = RUNNER.invoke(app, ["predict", str(run / "run"), str(tmp_path / "a.csv"), str(folder / "2.png")])
    assert result.exit_code == 1
    assert "a.csv:3: " in result.stderr
    assert "no image that can be read" in result.stderr
    assert "a.csv:4: " in result.stderr
    assert "a.csv:5: this image has 6 x 5 pixels in 1 channels, and 6 x 4 pixels in 1 channels" in result.stderr
    assert "3 left out" in result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == 3
    assert set(records[0]["scores"]) == {"lies", "stands"}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_with_their_labels(tmp_path, suffix):
    images, _ = _bars(5)
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    _write_idx(path, images)
    assert [image.label for image in read_images(str(path))] == [None] * 5
    _write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", np.arange(5, dtype=np.uint8))
    found = list(read_images(str(path)))
    assert [image.label for image in found] == list("01234")
    assert np.allclose(found[3].pixels[0] * 255, images[3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no idx", "does not begin as an IDX file of bytes in 3 dimensions"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 2, 2) + b"1234567", "7 bytes after its head, which announces 8"),
    ],
)
def test_a_broken_idx_file_is_an_error(tmp_path, content, message):
    (tmp_path / "x-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_images(str(tmp_path / "x-images-idx3-ubyte")))


def test_labels_that_belong_to_other_images_are_an_error(tmp_path):
    _write_idx(tmp_path / "a-images-idx3-ubyte", np.zeros((3, 2, 2), np.uint8))
    _write_idx(tmp_path / "a-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(DataError, match="4 labels, and 3 images"):
        list(read_images(str(tmp_path / "a-images-idx3-ubyte")))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\n", r"images.csv:1: there is no column 'file'"),
        ("file,label\n0.png,\n", "images.csv:2: the column 'label' is empty"),
    ],
)
def test_a_table_that_lacks_something_is_an_error(tmp_path, table, message):
    (tmp_path / "images.csv").write_text(table, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_images(str(tmp_path / "images.csv")))


def test_colours_have_three_channels(tmp_path):
    Pillow.new("RGB", (3, 2), (255, 0, 0)).save(tmp_path / "red.png")
    [image] = read_images(str(tmp_path / "red.png"))
    assert image.pixels.shape == (3, 2, 3)
    assert image.pixels[:, 0, 0].tolist() == [1, 0, 0]


def test_the_digits_are_split_without_overlap():
    splits = load_digits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 1437, "validation": 180, "test": 180}
    assert len({image.id for part in splits.values() for image in part}) == 1797
    assert splits["train"][0].pixels.max() <= 1


def test_a_run_starts_from_a_classifier_of_other_images(run, tmp_path):
    tables = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    table = tmp_path / "train" / "images.csv"
    _write_folder(tmp_path / "train", 40, seed=2)
    table.write_text(table.read_text().replace("lies", "flat"), encoding="utf-8")
    tables |= {"data": {"train": str(table)}, "model": {}}
    tables["training"] |= {"max_steps": 10}
    tables["finetune"] = {"start_from": str(run / "run"), "freeze": ["embeddings", "0"]}
    metrics = train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    assert metrics["start"]["new"] == ["classifier.bias", "classifier.weight"]
    before, after = (load_run(folder).model.state_dict() for folder in (run / "run", tmp_path / "run"))
    # All that is below the last norm has been taken over, and it was frozen.
    learned = {name for name in before if name.startswith(("classifier", "reformer.norm"))}
    assert all(torch.equal(weight, after[name]) for name, weight in before.items() if name not in learned)
    assert metrics["training"]["learned_weights"] == sum(after[name].numel() for name in learned)
