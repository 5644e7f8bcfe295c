"""Train a reader from Python on made-up documents, and ask it about one that it has never seen."""

import json
import random
import tempfile
from pathlib import Path

from reformer import load_run, read_recipe, train
from reformer.data import Question
from reformer.tasks.question_answering.task import answer_questions

RECIPE = """
[data]
train = "{folder}/questions.jsonl"
validation = "{folder}/held-out.jsonl"

[model]
hidden_size = 32
num_attention_heads = 2
attention_head_size = 16
feed_forward_size = 64
attention_layers = ["lsh", "full"]
num_buckets = 4
convolution_kernel = 3
position_embedding_type = "axial"
axial_pos_shape = [32, 8]
axial_pos_embds_dim = [16, 16]
max_position_embeddings = 256
# To find a word again, attention has to be sharp, and it is so sooner where the first weights are large.
initializer_range = 0.125

[training]
task = "question-answering"
epochs = 5
batch_size = 32
learning_rate = 5e-3
num_evaluations = 1
num_threads = 1
precision = "float32"
"""

NAMES, THINGS = "赵钱孙李周吴郑王", "梨桃杏枣瓜"


def make_question() -> tuple[str, str, str | None]:
    """A question, a document that says who has what, and the answer, which the document may lack."""
    names = random.sample(NAMES, 5)
    has = {name: f"{random.randrange(10, 100)}个{random.choice(THINGS)}" for name in names[:4]}
    asked = random.choice(names)
    return f"{asked}？", "".join(f"{name}有{what}。" for name, what in has.items()), has.get(asked)


def write_questions(path: Path, count: int) -> None:
    """Questions in the form of SQuAD, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            question, document, answer = make_question()
            answers = [] if answer is None else [{"text": answer, "answer_start": document.index(answer)}]
            record = {"question": question, "context": document, "answers": answers}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def main() -> None:
    random.seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_questions(folder / "questions.jsonl", 1600)
        write_questions(folder / "held-out.jsonl", 40)
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"held-out answers right to the last character: {metrics['validation']['exact_match']:.0%}")

        document = "李有35个枣。赵有71个桃。王有28个瓜。周有94个梨。"
        questions = [Question(text, document, id=text) for text in ("王？", "赵？", "孙？")]
        for question, answer in answer_questions(load_run(folder / "run"), questions):
            print(question.text, answer.text(document) or "那里没有写", f"{answer.start}:{answer.end}")


if __name__ == "__main__":
    main()
