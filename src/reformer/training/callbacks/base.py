"""Callbacks of a run that add to its metrics and clean up after themselves."""

from typing import Any

from transformers import TrainerCallback


class ReportingCallback(TrainerCallback):
    """A callback with something to report or to put back when training ends."""

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Values to add to `metrics.json`, under the name of their table there, such as `training`."""
        return {}

    def evaluation_metrics(self) -> dict[str, float]:
        """Values to add to the metrics of an evaluation, which trackers are told of under `eval_` and their names.

        Called at the end of each evaluation, while the weights that were evaluated are in place."""
        return {}

    def close(self) -> None:
        """Put back what the callback has changed outside the run. Called once training has ended, failed or not."""
