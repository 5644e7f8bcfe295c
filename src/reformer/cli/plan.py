"""`reformer plan`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.wording import bytes_in_words as size
from reformer.wording import counted
from reformer.wording import seconds_in_words as time

if TYPE_CHECKING:
    from reformer.training.plan.cost import Cost
    from reformer.training.plan.plan import Plan


def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The run as a TOML file; see recipes/.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Put a value over the recipe's; can be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Tell what a run will take on this machine: tokens, steps, weights, memory and time, and full attention beside it.

    The data are read as for training, and steps and evaluations of the run's own trainer are measured on short texts
    that grow until a step takes a second; what they take is carried on to the largest batch and to the whole run.
    Nothing is written. If the run does not fit, changes of the recipe that would make it fit are tried, and the exit
    status is 1.
    """
    import json

    from reformer.errors import ReformerError

    if not recipe.exists():
        raise ReformerError(f"{recipe}: there is no such recipe; check the path")

    # Not used here: what a run imports is a part of its memory.
    import reformer.training.train  # noqa: F401
    from reformer.runs.recipe_file import read_recipe
    from reformer.terminal import PlainConsole, printable
    from reformer.training.plan.begun import plan_recipe

    aside = PlainConsole(stderr=True)
    checked = read_recipe(recipe, overrides or [])
    found = plan_recipe(checked, on_progress=lambda what: aside.print(f"measuring {what}", soft_wrap=True))
    if as_json:
        sys.stdout.write(printable(json.dumps(found.to_json(), ensure_ascii=False, indent=2)) + "\n")
    else:
        for line in in_words(found):
            typer.echo(printable(line))
    if not found.fits:
        raise typer.Exit(1)


def in_words(found: "Plan") -> list[str]:
    """The plan, a line for each thing."""
    cost, largest = found.cost, found.largest
    frozen = f", of which {found.learned:,} learn" if found.learned < found.weights else ""
    lines = [
        f"{counted(found.weights, 'weight')}{frozen}; {counted(found.tokens, 'token')} in an epoch, padding included",
        f"{counted(found.steps, 'step')} and {counted(found.evaluations, 'evaluation')}, products in {found.precision}",
        f"time: {time(cost.step_seconds)} a step, {time(cost.evaluation_seconds)} an evaluation, "
        f"{time(cost.seconds)} in all",
        f"memory: {size(cost.peak)} of {size(found.available)}, at the largest batch ({largest.rows} x "
        f"{largest.length:,} tokens)",
        *(f"    {name}: {size(each)}" for name, each in cost.memory.items()),
    ]
    if not found.fits:
        lines.append("this does not fit; what each of these changes would make of it:")
        lines += [_alternative(name, each, found) for name, each in found.alternatives.items()]
        if not found.alternatives:
            lines.append("    nothing that was tried helps: take a smaller model, or a machine with more memory")
    if found.full_attention is not None:
        full = found.full_attention
        lines.append(f"full attention in place of the layers' own: {time(full.step_seconds)} a step, {size(full.peak)}")
        lines.append(
            "the layers' own take less time at no length"
            if found.crosses_at is None
            else f"from {found.crosses_at:,} tokens on, the layers' own take less time than full attention"
        )
    return [*lines, *found.notes]


def _alternative(name: str, cost: "Cost", found: "Plan") -> str:
    from reformer.training.plan.plan import MOST_SHARE

    verdict = "fits" if cost.peak <= MOST_SHARE * found.available else "does not fit"
    return f"    {name}: {size(cost.peak)}, {time(cost.seconds)} in all; {verdict}"
