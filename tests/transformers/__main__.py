"""transformers' own tests on our models: `python -m tests.transformers [--tests PATH] [further options of pytest]`.

Its tests of models in common come with its source distribution, which is fetched. Those of generation, of export and of
pipelines are in its repository alone: with `--tests`, or TRANSFORMERS_TESTS in the environment, the folder `tests` of a
checkout, they are run as well.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.transformers import published

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "transformers-tests"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.transformers", description=__doc__, allow_abbrev=False)
    parser.add_argument("--tests", type=Path, metavar="PATH", default=os.environ.get("TRANSFORMERS_TESTS") or None)
    given, further = parser.parse_known_args(arguments)
    checkout = None if given.tests is None else Path(given.tests)
    try:
        published.lay_out(published.archive(BUILD / "archives"), BUILD / "whole", checkout)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # What their tests of pipelines import.
    has_datasets = importlib.util.find_spec("datasets") is not None
    if checkout is None:
        print("without tests of generation, export and pipelines: give TRANSFORMERS_TESTS=PATH to have them")
    elif not has_datasets:
        print("without tests of pipelines, which import datasets: pip install datasets to have them")
    small = BUILD / "small"
    environment = os.environ | {
        # Their tests are the package `tests` here, so ours must not be found under that name.
        "PYTHONPATH": os.pathsep.join([str(BUILD / "whole"), str(HERE), *_without_ours()]),
        "TRANSFORMERS_TINY_MODEL_PATH": str(small),
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
    }
    made = [sys.executable, str(HERE / "small_models.py"), str(small)] + (
        [] if checkout and has_datasets else ["--none"]
    )
    subprocess.run(made, cwd=BUILD, env=environment, check=True)
    options = ["-c", HERE / "pytest.ini", "--rootdir", HERE, "--confcutdir", HERE, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *map(str, options), str(HERE / "suite.py"), *further]
    return subprocess.run(command, cwd=BUILD / "whole", env=environment).returncode


def _without_ours() -> list[str]:
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in paths if path and not (Path(path) / "tests" / "transformers").is_dir()]


if __name__ == "__main__":
    sys.exit(main())
