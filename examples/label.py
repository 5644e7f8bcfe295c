"""Train a labeller from Python on a few made-up sentences, and read the spans it finds in new ones."""

import random
import tempfile
from pathlib import Path

from reformer import load_run, read_recipe, train
from reformer.data import Document
from reformer.tasks.documents.task import predict

RECIPE = """
[data]
train = "{folder}/cities.conll"
validation = "{folder}/held-out.conll"

[model]
hidden_size = 32
num_attention_heads = 2
attention_head_size = 16
feed_forward_size = 64
attention_layers = ["local", "lsh"]
num_buckets = 4
convolution_kernel = 3

[training]
task = "token-classification"
epochs = 10
batch_size = 16
learning_rate = 1e-2
num_evaluations = 2
num_threads = 1
"""

CITIES = ["北京", "上海", "广州", "哈尔滨", "乌鲁木齐"]
SENTENCES = ["我昨天到{}去了", "{}今天下雨", "从{}来的火车晚点", "他们在{}开会", "这里没有城市", "会议明天开始"]


def write_sentences(path: Path, count: int) -> None:
    """A character and its tag a line, a blank line after each sentence."""
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            before, found, after = random.choice(SENTENCES).partition("{}")
            city = random.choice(CITIES) if found else ""
            tags = ["O"] * len(before) + ["B-LOC"] * bool(city) + ["I-LOC"] * (len(city) - 1) + ["O"] * len(after)
            file.writelines(f"{character} {tag}\n" for character, tag in zip(before + city + after, tags, strict=True))
            file.write("\n")


def main() -> None:
    random.seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sentences(folder / "cities.conll", 300)
        write_sentences(folder / "held-out.conll", 50)
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"held-out F1 {metrics['validation']['f1']:.2f}")

        texts = ["他们在乌鲁木齐开会🎉", "我昨天到北京去了"]
        documents = [Document(text, id=str(number)) for number, text in enumerate(texts)]
        for document, answer in predict(load_run(folder / "run"), documents):
            for span in answer.spans:
                print(document.text, span.start, span.end, span.label, document.text[span.start : span.end])


if __name__ == "__main__":
    main()
