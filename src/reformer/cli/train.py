"""`reformer train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reformer.recipe import Recipe


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
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out records that cannot be learned from; otherwise all are listed."),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move offsets that are wrong to the only place where their text stands.")
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            help="Cross-validate: so many runs, fold-1 and on in the folder, each held out on another part of the "
            "training records.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan/--no-plan",
            help="Say first the time and the memory that the run will take, and refuse one that cannot fit.",
        ),
    ] = True,
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
    from reformer.training.folds import FOLDS, train_folds
    from reformer.training.train import train as train_recipe

    folder = output or Path("runs") / recipe.stem
    if not resume:
        check_output(folder, recipe)
    console = PlainConsole(stderr=True)
    flags = {"data.skip_bad=true": skip_bad, "data.repair=true": repair}
    given = [*(overrides or ()), *(flag for flag, is_given in flags.items() if is_given)]

    def run(checked: "Recipe", place: Path) -> dict[str, Any]:
        goes_on = resume and (folds is None or place.exists())
        return train_recipe(
            checked,
            place,
            resume=goes_on,
            overwrite=overwrite,
            accept_changed_data=accept_changed_data and goes_on,
            plan=plan,
            console=console,
        )

    if folds is not None:
        found = train_folds(lambda changes: read_recipe(recipe, [*given, *changes]), folder, folds, run, resume=resume)
        for part in ("validation", "test"):
            for name, values in found[part].items():
                line = f"{part:10}  {name} {values['mean']:.4f} ± {values['standard_deviation']:.4f}"
                console.print(line, soft_wrap=True)
        console.print(f"{folder}: {folds} runs, {FOLDS}")
        return
    metrics = run(read_recipe(recipe, given), folder)
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
