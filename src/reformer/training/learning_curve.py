"""Learning curve of a run as a picture."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reformer.files import write

LOSS_COLOUR, SCORE_COLOUR = "#4c72b0", "#c44e52"


def plot_learning_curve(
    history: Sequence[Mapping[str, Any]], metric: str, path: Path, *, greater_is_better: bool, baseline: float | None
) -> None:
    """Draw losses and the validation score against minutes, with the steps above.

    Args:
        history: a Trainer's `log_history`, to which `CountingTrainer` adds the minutes.
        metric: the name of the score.
        baseline: the score of the classical method, a line to compare with; None without one.
    """
    training = [(entry["minutes"], entry["loss"]) for entry in history if "loss" in entry]
    losses = [(entry["minutes"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    scores = [(entry["minutes"], entry[f"eval_{metric}"]) for entry in history if f"eval_{metric}" in entry]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    left.plot(*_columns(training), color=LOSS_COLOUR, alpha=0.45, label="loss, training")
    left.plot(*_columns(losses), color=LOSS_COLOUR, marker="o", label="loss, validation")
    right.plot(*_columns(scores), color=SCORE_COLOUR, marker="s", label=f"{metric}, validation")
    if scores:
        minute, best = (max if greater_is_better else min)(scores, key=lambda point: point[1])
        right.annotate(f"{best:.3f}", (minute, best), xytext=(0, -14), textcoords="offset points", ha="center")
    left.set(xlabel="minutes", ylabel="loss", ylim=(0, None))
    if baseline is not None:
        right.axhline(baseline, color=SCORE_COLOUR, linestyle="--", linewidth=1, label=f"{metric}, baseline")
    # Scores to be maximised are fractions of 1, errors to be minimised have no upper bound.
    right.set(ylabel=metric, ylim=(0, 1.05 if greater_is_better else None))
    _add_steps(left, history)
    lines = [*left.get_lines(), *right.get_lines()]
    labels = [str(line.get_label()) for line in lines]
    figure.legend(lines, labels, loc="outside lower center", ncols=4, frameon=False)
    left.grid(alpha=0.2)
    # Drawn in memory: its writer does not say what the disk has said.
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    write(path, drawn.getvalue())


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _add_steps(axes: Any, history: Sequence[Mapping[str, Any]]) -> None:
    """Add a second scale above with the steps at about six of the evaluations."""
    marks = [(entry["minutes"], entry["step"]) for entry in history if "eval_loss" in entry]
    if not marks:
        return
    few = marks[:: max(1, len(marks) // 6)]
    above = axes.secondary_xaxis("top")
    above.set_ticks([minute for minute, _ in few], [f"{step:,}" for _, step in few])
    above.set_xlabel("steps")
