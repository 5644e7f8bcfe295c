"""Train an image captioner from Python on a made-up folder of images, and caption a new one."""

import random
import tempfile
from pathlib import Path

from PIL import Image

from reformer import load_run, read_recipe, train
from reformer.tasks.predict_options import PredictOptions

RECIPE = """
[data]
train = "{folder}/captions.csv"
validation_fraction = 0.1

[model]
hidden_size = 32
num_attention_heads = 2
attention_head_size = 16
feed_forward_size = 64
attention_layers = ["full"]
cross_attention_layers = ["full"]
convolution_kernel = 3
# A token is a square of 2 x 2 pixels.
patch_size = 2
max_position_embeddings = 32

[training]
task = "image-to-text"
epochs = 12
batch_size = 16
learning_rate = 1e-2
num_evaluations = 2
num_threads = 1
"""

COLOURS = {"红": (220, 40, 30), "绿": (30, 180, 60), "蓝": (40, 60, 220)}
PLACES = {"上": (0, 0, 6, 2), "下": (0, 4, 6, 6), "左": (0, 0, 2, 6), "右": (4, 0, 6, 6)}


def draw(path: Path, colour: str, place: str) -> None:
    """A noisy square of 6 x 6 pixels with a bar of some colour at one of its sides."""
    image = Image.effect_noise((6, 6), 40).convert("RGB")
    image.paste(COLOURS[colour], PLACES[place])
    image.save(path)


def write_folder(folder: Path, count: int) -> None:
    """Images, and a table with a caption for each."""
    lines = ["file,caption"]
    for number in range(count):
        colour, place = random.choice(list(COLOURS)), random.choice(list(PLACES))
        draw(folder / f"{number}.png", colour, place)
        lines.append(f"{number}.png,{place}边有一条{colour}色")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    random.seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder, 300)
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"held-out captions correct to the last character: {metrics['validation']['exact_match']:.0%}")

        draw(folder / "new.png", "蓝", "左")
        run = load_run(folder / "run")
        for answer in run.task.predict(run, [str(folder / "new.png")], PredictOptions(), print):
            print(answer.fields["id"], answer.fields["caption"])


if __name__ == "__main__":
    main()
