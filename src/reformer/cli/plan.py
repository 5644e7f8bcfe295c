"""`reformer plan`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.wording import counted

if TYPE_CHECKING:
    from reformer.insight.plan.plan import Cost, Plan


def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The run as a TOML file; see recipes/.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Put a value over the recipe's; can be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Tell what a run will take on this machine: tokens, steps, weights, memory and time, and full attention beside it.

    The data are read as for training, and three short steps of the model are measured; what they take is carried on
    to the largest batch and to the whole run. Nothing is written. If the run does not fit, changes of the recipe that
    would make it fit are tried, and the exit status is 1.
    """
    import json

    from reformer.errors import ReformerError

    if not recipe.exists():
        raise ReformerError(f"{recipe}: there is no such recipe; check the path")
    import torch
    from transformers import set_seed

    # Not used here: what a run imports is a part of its memory.
    import reformer.training.train  # noqa: F401
    from reformer.insight.plan import plan_run
    from reformer.runs.recipe_file import read_recipe
    from reformer.tasks.model_setup import read_start
    from reformer.tasks.registry import TASKS
    from reformer.terminal import PlainConsole, printable
    from reformer.training.initial_model import initial_model
    from reformer.training.precision import resolve_precision

    aside = PlainConsole(stderr=True)
    checked = resolve_precision(read_recipe(recipe, overrides or []))
    if checked.training.num_threads is not None:
        torch.set_num_threads(checked.training.num_threads)
    task = TASKS[checked.training.task].for_recipe(checked)
    place = checked.finetune.start_from
    start = None if place is None else read_start(place, accept_licence=bool(checked.finetune.accept_licence))
    data = task.load_data(checked, start)
    set_seed(checked.training.seed)
    model, _ = initial_model(task, data, checked, start)
    found = plan_run(checked, data, model, on_progress=lambda what: aside.print(f"measuring {what}", soft_wrap=True))
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
        f"time: {_time(cost.step_seconds)} a step, {_time(cost.evaluation_seconds)} an evaluation, "
        f"{_time(cost.seconds)} in all",
        f"memory: {_bytes(cost.peak)} of {_bytes(found.available)}, at the largest batch ({largest.rows} x "
        f"{largest.length:,} tokens)",
        *(f"    {name}: {_bytes(size)}" for name, size in cost.memory.items()),
    ]
    if not found.fits:
        lines.append("this does not fit; what each of these changes would make of it:")
        lines += [_alternative(name, each, found) for name, each in found.alternatives.items()]
        if not found.alternatives:
            lines.append("    nothing that was tried helps: take a smaller model, or a machine with more memory")
    if found.full_attention is not None:
        full = found.full_attention
        lines.append(
            f"full attention in place of the layers' own: {_time(full.step_seconds)} a step, {_bytes(full.peak)}"
        )
        lines.append(
            "the layers' own take less time at no length"
            if found.crosses_at is None
            else f"from {found.crosses_at:,} tokens on, the layers' own take less time than full attention"
        )
    return [*lines, *found.notes]


def _alternative(name: str, cost: "Cost", found: "Plan") -> str:
    from reformer.insight.plan.plan import MOST_SHARE

    verdict = "fits" if cost.peak <= MOST_SHARE * found.available else "does not fit"
    return f"    {name}: {_bytes(cost.peak)}, {_time(cost.seconds)} in all; {verdict}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    for unit, most in (("s", 120), ("min", 120), ("h", 48)):
        if seconds < most:
            return f"{seconds:.1f} {unit}"
        seconds /= 60 if unit != "h" else 24
    return f"{seconds:.1f} days"
