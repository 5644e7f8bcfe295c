"""Train a forecaster from Python on a made-up series, and predict the next day with quantiles."""

import math
import random
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from reformer import load_run, read_recipe, train
from reformer.tasks.predict_options import PredictOptions

RECIPE = """
[data]
train = "{folder}/visitors.csv"
context_length = 240
prediction_length = 24
season_length = 24
validation_fraction = 0.1
test_fraction = 0.2

[model]
hidden_size = 16
num_attention_heads = 2
attention_head_size = 8
feed_forward_size = 32
attention_layers = ["local", "lsh"]
num_buckets = 4
patch_size = 12
linear_context = 48
quantiles = [0.1, 0.5, 0.9]

[training]
task = "forecasting"
max_steps = 60
batch_size = 32
learning_rate = 1e-2
num_evaluations = 2
num_threads = 1
"""


def write_visitors(path: Path, days: int) -> None:
    """A row an hour: many by day, few by night, and on some days the counter was broken."""
    with path.open("w", encoding="utf-8") as file:
        file.write("hour,visitors\n")
        for hour in range(24 * days):
            count = 50 + 40 * math.sin(2 * math.pi * (hour - 9) / 24) + random.gauss(0, 4)
            date = datetime(2024, 1, 1) + timedelta(hours=hour)
            file.write(f"{date},{'' if hour // 24 % 9 == 8 else round(count)}\n")


def main() -> None:
    random.seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_visitors(folder / "visitors.csv", 40)
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        metrics = train(read_recipe(folder / "recipe.toml"), folder / "run")
        print(f"error on the last days, divided by that of repeating the day before: {metrics['test']['mase']:.2f}")

        run = load_run(folder / "run")
        for prediction in run.task.predict(run, [str(folder / "visitors.csv")], PredictOptions(), print):
            step = prediction.fields
            print(f"{step['date']}  {step['visitors']:4.0f} visitors ({step['visitors 0.1']:.0f} to", end=" ")
            print(f"{step['visitors 0.9']:.0f})")


if __name__ == "__main__":
    main()
