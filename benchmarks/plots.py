"""The pictures of the documentation: time and memory against length, both axes logarithmic."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.markdown import Result, of_action, per_token
from benchmarks.table import Row, duration, in_order, short, size

COLOURS = {
    "ours": "#0b6e99",
    "eager": "#6fb1cf",
    "transformers": "#c8553d",
    "reformer-pytorch": "#d99a2b",
    "plain": "#6fb1cf",
    "full": "#5f5f5f",
    "checkpointed": "#9a9a9a",
}
"""By family; settings of one family differ in their lines."""

STYLES = ("-", "--", ":", "-.")

Value = Callable[[Row], float]


def draw(result: Result, folder: Path) -> list[Path]:
    """The pictures of one case; none if it has none."""
    drawing = DRAWINGS.get(result["case"])
    if drawing is None:
        return []
    # One result, one picture, byte for byte.
    settings = {
        "svg.hashsalt": "reformer",
        "svg.fonttype": "path",
        "font.size": 9,
        "axes.spines.top": False,
    }
    with matplotlib.rc_context(cast(Any, settings | {"axes.spines.right": False})):
        figure = drawing(result)
        figure.tight_layout()
        path = folder / f"{result['case']}.svg"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    return [path]


def _lines(axes: Axes, rows: list[Row], value: Value, axis: str = "tokens") -> None:
    """A line a contender, against length."""
    used: dict[str, int] = {}
    for name in dict.fromkeys(row["contender"] for row in rows):
        mine = [row for row in rows if row["contender"] == name]
        points = [(row["length"], found) for row in mine if (found := value(row))]
        family = mine[0]["family"]
        style = STYLES[used.get(family, 0) % len(STYLES)]
        used[family] = used.get(family, 0) + 1
        at, values = zip(*points, strict=True) if points else ((), ())
        axes.plot(at, values, style, marker="o", markersize=3.5, color=COLOURS[family], label=name)
    lengths = sorted({row["length"] for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [short(length) for length in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(axis)
    axes.grid(True, which="major", alpha=0.25, linewidth=0.6)


def _logarithmic(axes: Axes, told: Callable[[float], str], title: str) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # Over few decades the powers of ten alone would be too few numbers to read by.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 1000 else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: told(number)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda number, _: ""))
    axes.set_title(title, loc="left", fontsize=10)


def _plain(told: str) -> str:
    return told.replace(".00", "").replace(".0 ", " ")


def _time(axes: Axes, rows: list[Row], axis: str, title: str) -> None:
    _lines(axes, rows, lambda row: row["median_seconds"], axis)
    _logarithmic(axes, lambda seconds: _plain(duration(seconds)), title)


def _memory(axes: Axes, rows: list[Row], axis: str, title: str) -> None:
    _lines(axes, rows, lambda row: (row["peak_bytes"] or 0) / 2**20, axis)
    _logarithmic(axes, lambda number: _plain(size(int(number * 2**20))), f"{title}: peak memory over the bare process")


def _legend_below(figure: Figure, below: float) -> Figure:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, below))
    return figure


def _time_and_memory(result: Result) -> Figure:
    action, axis = result["actions"][-1], result.get("axis", "tokens")
    rows = of_action(result, action)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4))
    _time(left, rows, axis, f"{action}: time")
    _memory(right, rows, axis, action)
    return _legend_below(figure, -0.17)


def _speed_and_memory(result: Result) -> Figure:
    rows = in_order(result)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    _lines(left, rows, lambda row: 1 / per_token(row))
    _logarithmic(left, lambda number: f"{number:,.0f}", "training: tokens a second")
    _memory(right, rows, "tokens", "training")
    return _legend_below(figure, -0.12)


def _per_token(result: Result) -> Figure:
    figure, panels = plt.subplots(1, len(result["actions"]), figsize=(10, 3.2), squeeze=False)
    for axes, action in zip(panels[0], result["actions"], strict=True):
        _lines(axes, of_action(result, action), lambda row: per_token(row) * 1e9)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{action}: nanoseconds per token", loc="left", fontsize=10)
        axes.legend(frameon=False)
    return figure


def _crossing(result: Result) -> Figure:
    figure, panels = plt.subplots(1, len(result["actions"]), figsize=(10, 3.6), squeeze=False)
    for axes, action in zip(panels[0], result["actions"], strict=True):
        _time(axes, of_action(result, action), "tokens", f"{action}: time")
    panels[0][0].legend(frameon=False)
    return figure


DRAWINGS = {
    "attention": _time_and_memory,
    "training-step": _speed_and_memory,
    "scaling": _per_token,
    "crossover": _crossing,
    "depth": _time_and_memory,
    "length": _time_and_memory,
}
