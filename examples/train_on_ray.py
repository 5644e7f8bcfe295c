"""Train a recipe on several machines by Ray Train: `python examples/train_on_ray.py RECIPE OUTPUT --workers 2`.

Each worker is one process of the run, as those of torchrun are. OUTPUT, and the files that the recipe names, must be on
a disk that all machines share.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer


def train_worker(given: dict[str, Any]) -> None:
    """One process of the run; Ray Train has connected it with the others."""
    from reformer.runs.recipe_file import read_recipe
    from reformer.training.train import train

    os.chdir(given["folder"])
    train(read_recipe(given["recipe"]), given["output"], resume=given["resume"])


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("recipe", type=Path)
parser.add_argument("output", type=Path)
parser.add_argument("--workers", type=int, default=2, help="processes, each with one core")
parser.add_argument("--cores", type=int, default=1, help="of each process")
parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
arguments = parser.parse_args()
TorchTrainer(
    train_worker,
    train_loop_config={
        "recipe": str(arguments.recipe),
        "output": str(arguments.output),
        "resume": arguments.resume,
        "folder": os.getcwd(),
    },
    scaling_config=ScalingConfig(num_workers=arguments.workers, resources_per_worker={"CPU": arguments.cores}),
).fit()
