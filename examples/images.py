"""Train a classifier of handwritten digits from Python, every pixel a token, and ask it about one."""

import tempfile
from pathlib import Path

from reformer import load_run, read_recipe, train
from reformer.data import load_digits
from reformer.tasks.images.classification import evaluate_images

RECIPE = """
[data]
source = "index:digits"

[model]
hidden_size = 32
num_attention_heads = 2
attention_head_size = 16
feed_forward_size = 64
attention_layers = ["local", "full"]
local_window = 16
convolution_kernel = 3
position_embedding_type = "axial"
axial_pos_shape = [8, 8]
axial_pos_embds_dim = [16, 16]
max_position_embeddings = 64

[training]
task = "image-classification"
epochs = 2
batch_size = 32
learning_rate = 5e-3
num_evaluations = 2
num_threads = 1
"""

SHADES = " .:*#"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"digits it has never seen: {metrics['test']['accuracy']:.0%} right after two passes over the others")

        image = load_digits()["test"][0]
        for row in image.pixels[0]:
            print("".join(SHADES[round(4 * float(pixel))] for pixel in row))
        right = evaluate_images(load_run(folder / "run"), [image])["accuracy"] == 1
        print(f"this is a {image.label}, and the model {'says so' if right else 'says something else'}")


if __name__ == "__main__":
    main()
