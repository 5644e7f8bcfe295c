"""`reformer train`."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The run as a TOML file; see recipes/.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder; without it, runs/ and the recipe's name.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in that folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.")] = False,
    accept_changed_data: Annotated[
        bool,
        typer.Option("--accept-changed-data", help="With --resume: go on although data or tokenizer have changed."),
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Put a value over the recipe's; can be repeated."),
    ] = None,
) -> None:
    """Train a model by a recipe, and leave model, tokenizer, recipe, metrics and learning curve in a folder.

    Ctrl-C or a termination request saves and stops; `--resume` goes on from there as if nothing had happened.
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on with a run and --overwrite replaces it; give one of them")
    if accept_changed_data and not resume:
        raise typer.BadParameter("--accept-changed-data is for a run that goes on; give --resume, too")
    # Before the heavy imports, so that a misspelt path is answered at once.
    if not recipe.exists():
        from reformer.errors import ReformerError

        raise ReformerError(f"{recipe}: there is no such recipe; check the path")
    from reformer.metrics.doubts import doubts
    from reformer.runs.folder import check_output
    from reformer.runs.recipe_file import read_recipe
    from reformer.tasks.registry import TASKS
    from reformer.terminal import PlainConsole
    from reformer.training.baseline import below_baseline
    from reformer.training.train import train as train_recipe

    folder = output or Path("runs") / recipe.stem
    if not resume:
        check_output(folder, recipe)
    console = PlainConsole(stderr=True)
    metrics = train_recipe(
        read_recipe(recipe, overrides or ()),
        folder,
        resume=resume,
        overwrite=overwrite,
        accept_changed_data=accept_changed_data,
        console=console,
    )
    if not metrics:
        return
    for split in ("validation", "test"):
        if metrics[split] is not None:
            scores = "  ".join(
                f"{name} {value:.4f}" for name, value in metrics[split].items() if isinstance(value, float)
            )
            console.print(f"{split:10}  {scores}", soft_wrap=True)
            for line in doubts(metrics[split]):
                console.print(f"warning: {split}: {line}", style="yellow", soft_wrap=True)
    if line := below_baseline(metrics, TASKS[metrics["task"]]):
        console.print(f"warning: {line}", style="yellow", soft_wrap=True)
    report = ", report.html" if (folder / "report.html").is_file() else ""
    console.print(f"{folder}: model, tokenizer, recipe, metrics.json, learning_curve.png{report}")
