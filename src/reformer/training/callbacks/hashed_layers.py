"""Figures of the hashed layers at each evaluation, for the trackers."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from reformer.insight.inspect_heads import HeadReport, HeadWatch
from reformer.insight.inspect_layers import hashed_layers
from reformer.tasks.base import TaskData, to_device
from reformer.training.callbacks.base import ReportingCallback

QUERIES = 64
"""Tokens of an example whose weights are computed for all keys, at most: as many as `reformer inspect` takes."""


class HashedLayers(ReportingCallback):
    """What `reformer inspect` tells of the hashed layers, at each evaluation, of the same examples each time.

    Args:
        model: on the device where it is trained.
        data: the first examples of its validation part are read.
        examples: how many.

    Raises:
        ReformerError: the model hashes nothing.
    """

    def __init__(self, model: PreTrainedModel, data: TaskData, examples: int) -> None:
        self._model, self._data, self._examples = model, data, examples
        self._layers = hashed_layers(model, "training.inspect_examples")

    @torch.no_grad()
    def evaluation_metrics(self) -> dict[str, float]:
        """Means over the heads of a layer, as `hashing/layer_2/held`, and what each head holds of full attention's
        weight, as `hashing/layer_2/head_1/held`; `docs/guides/inspect.md` defines them."""
        was_training = self._model.training
        self._model.eval()
        watch = HeadWatch(self._layers, QUERIES, "training.inspect_examples")
        try:
            # Every process of a run reads them: where weights are divided, none can read alone.
            for number in range(min(self._examples, len(self._data.validation))):
                batch = to_device(self._data.collate([self._data.validation[number]]), self._model.device)
                with watch.watching(seed=number):
                    self._data.evaluate_batch(self._model, batch, self._data.new_metric())
        finally:
            self._model.train(was_training)
        heads = watch.heads()
        found = {f"layer_{head.layer}/head_{head.head}/held": head.together for head in heads}
        for number in dict.fromkeys(head.layer for head in heads):
            of_layer = [head for head in heads if head.layer == number]
            found |= {f"layer_{number}/{name}": value for name, value in _of_layer(of_layer).items()}
        return {f"hashing/{name}": value for name, value in found.items()}


def _of_layer(heads: Sequence[HeadReport]) -> dict[str, float]:
    """Means over the heads of a layer."""
    buckets = [each for head in heads for each in head.fullness]
    fallen = [share for head in heads for share in head.fallen if share is not None]
    figures = {
        "held": [head.together for head in heads],
        "no_round": [head.cumulated[0] for head in heads],
        "one_more_round_adds": [head.cumulated[-1] - head.together for head in heads],
        "wider_window_adds": [head.wider["hash"] - head.together for head in heads],
        "best_keys": [head.best for head in heads],
        "keys": [head.keys_seen for head in heads],
        "effective_buckets": [each.effective for each in buckets],
        "empty_buckets": [each.empty for each in buckets],
        "fallen_out": fallen,
    }
    return {name: sum(values) / len(values) for name, values in figures.items() if values}
