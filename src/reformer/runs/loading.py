"""Loading of a run folder."""

from pathlib import Path
from typing import overload

from reformer.finetuning import load_pretrained
from reformer.finetuning.adapter import ADAPTER
from reformer.models.progress_bars import no_progress_bars
from reformer.runs.folder import RECIPE, RunError, check_whole, weights_file
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.base import AnyTask, Run, Task
from reformer.tasks.registry import TASKS


@overload
def load_run(folder: str | Path) -> Run[Task]: ...
@overload
def load_run(folder: str | Path, kind: type[AnyTask]) -> Run[AnyTask]: ...
def load_run(folder: str | Path, kind: type[Task] = Task) -> Run[Task]:
    """Load a run folder, the model ready to use.

    Args:
        folder: what `train` has written.
        kind: the task that the run must have learned: over documents (`DocumentTask`), say, or `LanguageModelling`.

    Raises:
        RunError: there is no such folder, it has learned another task, or a file of it is missing or broken.
        FinetuningError: it holds an adapter, and the model that this belongs to cannot be had.
    """
    folder = Path(folder)
    check_whole(folder, ("config.json", weights_file(folder), RECIPE))
    recipe = read_recipe(folder / RECIPE)
    task = TASKS[recipe.training.task]
    if task.processor_file is not None:
        check_whole(folder, (task.processor_file,))
    if not isinstance(task, kind):
        fitting = " or ".join(name for name, other in TASKS.items() if isinstance(other, kind))
        raise RunError(f"{folder}: this run has learned {recipe.training.task}; give one that has learned {fitting}")
    if weights_file(folder) == ADAPTER:
        return Run(folder, recipe, task, load_pretrained(str(folder)), task.load_processor(folder))
    try:
        with no_progress_bars():
            model = task.head.from_pretrained(folder, local_files_only=True)
    # Truncated weights, a config of another class, JSON cut short: each means that the folder was damaged.
    except Exception as error:
        raise RunError(f"{folder}: its model cannot be loaded: {error}; train it again") from error
    return Run(folder, recipe, task, model.eval(), task.load_processor(folder))
