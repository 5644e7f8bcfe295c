"""Plot of a forecast behind the end of its series."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from reformer.data import Series
from reformer.errors import ReformerError
from reformer.files import make_folders, refuse_existing, refuse_overwriting_inputs, replaced

PAST_COLOUR, FORECAST_COLOUR = "#4c72b0", "#c44e52"

# The past that is drawn, in horizons.
HORIZONS_BEFORE = 3


def plot_paths(files: Sequence[str], folder: Path, *, overwrite: bool) -> dict[str, Path]:
    """Where the forecast of each file is plotted: in the folder, under the file's name.

    Raises:
        ReformerError: two files have one name, or a plot would replace an input or, unasked, what is there.
    """
    plotted: dict[Path, str] = {}
    for file in files:
        path = folder / f"{Path(file).name}.png"
        if path in plotted:
            raise ReformerError(
                f"{path}: the forecasts of {plotted[path]} and of {file} would both be plotted here; predict for each "
                "with --pictures of its own"
            )
        refuse_overwriting_inputs(path, files)
        if not overwrite:
            refuse_existing(path, option="--pictures")
        plotted[path] = file
    return {file: path for path, file in plotted.items()}


def plot_forecast(
    series: Series,
    dates: Shaped[np.ndarray, " horizon"],
    point: Float[np.ndarray, "horizon channels"],
    quantiles: Float[np.ndarray, "horizon channels levels"] | None,
    levels: Sequence[float],
    path: Path,
    *,
    overwrite: bool,
) -> None:
    """Draw each channel's last steps and its forecast, with a band between each two quantiles at equal distance.

    Args:
        quantiles: in the order of `levels`.
        overwrite: whether a file at `path` may be replaced.
    """
    # Here: no prediction without pictures waits for it.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    channels = len(series.columns)
    before = slice(-HORIZONS_BEFORE * len(dates), None)
    figure = Figure(figsize=(9, 1 + 2.2 * channels), layout="constrained")
    panels = figure.subplots(channels, 1, sharex=True, squeeze=False)[:, 0]
    for channel, panel in enumerate(panels):
        panel.plot(series.dates[before], series.values[before, channel], color=PAST_COLOUR, label="known")
        for low in range(len(levels) // 2 if quantiles is not None else 0):
            high = len(levels) - 1 - low
            assert quantiles is not None
            panel.fill_between(
                dates,
                quantiles[:, channel, low],
                quantiles[:, channel, high],
                color=FORECAST_COLOUR,
                alpha=0.2,
                linewidth=0,
                label=f"{levels[low]:g} to {levels[high]:g}",
            )
        panel.plot(dates, point[:, channel], color=FORECAST_COLOUR, label="forecast")
        # Names with two dollars would be read as formulas, and be errors where they are none.
        panel.set_ylabel(series.columns[channel], parse_math=False)
        panel.grid(alpha=0.2)
    title = series.name if series.member is None else f"{series.name}: {series.member}"
    panels[0].set_title(title, parse_math=False)
    locator = AutoDateLocator()
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    # Drawn in memory: its writer does not say what the disk has said.
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    make_folders(path.parent)
    with replaced(path, overwrite=overwrite) as file:
        file.write(drawn.getvalue())
