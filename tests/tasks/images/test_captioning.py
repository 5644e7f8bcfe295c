"""Images in, texts out: from digits and from folders with a table of captions."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import DataError, Image, load_digits
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.images.captioning import caption_images, evaluate_captions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import MODEL

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
LIES, STANDS = "线横着", "线竖着。"


def _write_folder(folder, count, seed=0):
    """Images of 4 x 6 pixels with a line that lies or stands, and a table that says which."""
    folder.mkdir()
    pick, rows = np.random.default_rng(seed), ["file,caption"]
    for number in range(count):
        image = pick.integers(0, 60, (4, 6)).astype(np.uint8)
        lies = bool(pick.integers(2))
        image[(pick.integers(4), slice(None)) if lies else (slice(None), pick.integers(6))] = 250
        Pillow.fromarray(image).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{LIES if lies else STANDS}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "captions.csv"


def _tables(folder):
    return {
        "data": {
            "train": str(_write_folder(folder / "train", 120)),
            "test": str(_write_folder(folder / "test", 20, seed=1)),
            "validation_fraction": 0.1,
        },
        "model": dict(MODEL)
        | {
            "attention_layers": ["full"],
            "hidden_dropout_prob": 0.0,
            "max_position_embeddings": 24,
        },
        "training": {
            "task": "image-to-text",
            "max_steps": 200,
            "learning_rate": 3e-3,
            "batch_size": 32,
            "num_evaluations": 2,
            "device": "cpu",
            "precision": "float32",
        },
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    tables = _tables(folder)
    # So small a model learns with four of five seeds, and rounding decides with which.
    for seed in range(4):
        tables["training"]["seed"] = seed
        write_recipe(checked_recipe(tables), folder / "recipe.toml")
        result = RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run"), "--overwrite"])
        assert result.exit_code == 0, result.output
        if json.loads((folder / "run/metrics.json").read_text())["test"]["exact_match"] > 0.8:
            break
    return folder


def test_a_folder_with_captions_is_learned(folder):
    metrics = json.loads((folder / "run/metrics.json").read_text())
    assert metrics["test"].keys() == {"bleu", "chrf", "exact_match", "pairs"}
    assert metrics["test"]["exact_match"] > 0.8
    scores = folder / "scores.json"
    result = RUNNER.invoke(
        app, ["evaluate", str(folder / "run"), str(folder / "test/captions.csv"), "--beams", "2", "-o", str(scores)]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(scores.read_text())["pairs"] == 20


def test_bad_images_are_named_and_the_others_get_their_caption(folder, tmp_path):
    images = folder / "test"
    Pillow.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "tall.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "a.csv").write_text(f"file\n{images}/0.png\nbroken.png\nnowhere.png\ntall.png\n{images}/1.png\n")
    files = [str(tmp_path / "a.csv"), str(tmp_path / "gone.png"), str(images / "2.png")]
    result = RUNNER.invoke(app, ["predict", str(folder / "run"), *files])
    assert result.exit_code == 1
    for place in ("a.csv:3: ", "a.csv:4: ", "a.csv:5: this image has 6 x 5 pixels", "gone.png: there is no such file"):
        assert place in result.stderr
    assert "4 left out" in result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["id"] for record in records] == [f"{images}/0.png", f"{images}/1.png", "2.png"]
    assert all(record["caption"] in (LIES, STANDS) for record in records)


def test_a_caption_does_not_depend_on_the_batch(folder):
    run = load_run(folder / "run")
    pick = np.random.default_rng(3)
    images = [Image(pick.random((1, 4, 6), np.float32), str(number)) for number in range(5)]
    together = [text for _, text in caption_images(run, images, beams=2)]
    assert together == [text for image in images for _, text in caption_images(run, [image], beams=2)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.png,", r"captions\.csv:122: the column 'caption' is empty"),
        ("0.png," + "长" * 24, r"captions\.csv:122: the target has 25 tokens, its end included"),
        ("nowhere.png,横", r"captions\.csv:122: .*nowhere\.png: there is no such file"),
    ],
)
def test_a_bad_row_is_named_before_training(tmp_path, row, message):
    tables = _tables(tmp_path)
    with open(tables["data"]["train"], "a", encoding="utf-8") as file:
        file.write(row + "\n")
    with pytest.raises(DataError, match=message):
        train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))


def test_an_image_without_a_caption_is_named(folder):
    run = load_run(folder / "run")
    with pytest.raises(DataError, match=r"f\.csv:7: this image has no caption"):
        evaluate_captions(run, [Image(np.zeros((1, 4, 6), np.float32), "a", source="f.csv:7")])


def test_the_digits_are_described_and_only_they_are_a_source(tmp_path):
    plain, described = load_digits(), load_digits(captions=True)
    pairs = {(image.label, other.label) for image, other in zip(plain["test"], described["test"], strict=True)}
    assert len(pairs) == 10
    assert ("7", "手写的数字七，是单数。") in pairs
    tables = _tables(tmp_path) | {"data": {"source": "index:digits"}}
    with pytest.raises(RecipeError, match="the source for image-to-text is index:digit-captions"):
        checked_recipe(tables)
