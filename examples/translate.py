"""Train an encoder-decoder from Python on a few made-up pairs, and let it write numbers that it has never seen."""

import random
import tempfile
from pathlib import Path

from reformer import load_run, read_recipe, train
from reformer.data import Document
from reformer.tasks.text_to_text import write_answers

RECIPE = """
[data]
train = "{folder}/numbers.tsv"
validation = "{folder}/held-out.tsv"

[model]
hidden_size = 32
num_attention_heads = 2
attention_head_size = 16
feed_forward_size = 64
attention_layers = ["local+lsh"]
cross_attention_layers = ["full"]
num_buckets = 4
convolution_kernel = 3
max_position_embeddings = 64

[training]
task = "text-to-text"
epochs = 6
batch_size = 32
learning_rate = 1e-2
num_evaluations = 1
num_threads = 1
"""

DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))


def write_pairs(path: Path, numbers: list[str]) -> None:
    """A number and how it is read out, digit by digit."""
    lines = [f"{number}\t{''.join(map(DIGITS.get, number))}\n" for number in numbers]
    path.write_text("source\ttarget\n" + "".join(lines), encoding="utf-8")


def main() -> None:
    random.seed(0)
    numbers = [str(number) for number in random.sample(range(10**4, 10**5), 600)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "numbers.tsv", numbers[:560])
        write_pairs(folder / "held-out.tsv", numbers[560:])
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"held-out chrF {metrics['validation']['chrf']:.1f}")

        texts = ["86420", "13579"]
        documents = [Document(text, id=str(number)) for number, text in enumerate(texts)]
        for document, target in write_answers(load_run(folder / "run"), documents, beams=4):
            print(document.text, target)


if __name__ == "__main__":
    main()
