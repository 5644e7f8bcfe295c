"""Checks of output files, before anything is read or computed."""

from collections.abc import Iterable
from pathlib import Path

from reformer.files import refuse_existing, refuse_overwriting_inputs


def check_output_file(output: Path | None, inputs: Iterable[str | Path | None], run: Path, *, overwrite: bool) -> None:
    """Raise `ReformerError` if the output is an input or a file of the run, or exists and may not be replaced."""
    if output is None:
        return
    refuse_overwriting_inputs(output, [*inputs, *(run / name for name in MODEL)])
    if not overwrite:
        refuse_existing(output)


# By their names: the modules that know them are heavy to import, and a misspelt path is to be answered at once.
MODEL = (
    *("model.safetensors", "adapter_model.safetensors", "adapter_config.json", "config.json", "tokenizer.json"),
    *("tokenizer_config.json", "series.json", "recipe.toml", "metrics.json", ".reformer-run.json"),
    *("calibration.json", "report.html", "README.md"),
)
