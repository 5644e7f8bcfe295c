"""Recombination of entities: unseen ones, put together from the parts of those in the training documents."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from reformer.data import IGNORED
from reformer.data.batching.encoding import Examples

# Tokens. Longer entities are rare, and their parts, put together, make no likely name.
MAX_ENTITY_LENGTH = 8


class Recombination:
    """Augmentation: entities replaced by others of their type and length, put together from the training documents'.

    The first token is the first of some entity, the second the second of some other, and so on: a family name from
    one person, a given name from two others. Each different entity counts once, however often it occurs. Without it
    a model memorises the names of the training documents and has a low recall on others. Positions and tags of the
    entities stay as they are.

    Args:
        examples: the training documents, with a tag for each token.
        labels: the tags' names, "O", "B-X" and "I-X".
        probability: of replacing an entity.
        types: the types of entities that are replaced; all if None.
    """

    def __init__(self, examples: Examples, labels: Sequence[str], probability: float, types: Sequence[str] | None):
        self._probability = probability
        numbers = {label: number for number, label in enumerate(labels)}
        # For each tag that begins an entity the one that goes on with it.
        self._inside = {
            number: numbers[f"I-{label[2:]}"]
            for label, number in numbers.items()
            if label.startswith("B-") and (types is None or label[2:] in types)
        }
        entities_of: dict[tuple[int, int], set[tuple[int, ...]]] = defaultdict(set)
        for example in map(examples.__getitem__, range(len(examples))):
            for start, end in self._entities(example.target):
                if end - start <= MAX_ENTITY_LENGTH:
                    entities_of[int(example.target[start]), end - start].add(tuple(example.ids[start:end].tolist()))
        self._entities_of = {kind: np.array(sorted(entities), dtype=np.int64) for kind, entities in entities_of.items()}

    def __call__(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        """The batch with other `input_ids` where its `labels` say that there are entities."""
        random = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator, device="cpu")))
        ids = batch["input_ids"].numpy(force=True).copy()
        for row, tags in zip(ids, batch["labels"].numpy(force=True), strict=True):
            for start, end in self._entities(tags):
                known = self._entities_of.get((int(tags[start]), end - start))
                if known is not None and random.random() < self._probability:
                    places = np.arange(end - start)
                    row[start:end] = known[random.integers(len(known), size=len(places)), places]
        return batch | {"input_ids": torch.from_numpy(ids).to(batch["input_ids"].device)}

    def _entities(self, tags: Int[np.ndarray, " length"]) -> Iterator[tuple[int, int]]:
        """Where the entities of a row of tags begin and end."""
        tags = np.append(tags, IGNORED)
        for start in np.flatnonzero(np.isin(tags, list(self._inside))).tolist():
            inside, end = self._inside[int(tags[start])], start + 1
            while tags[end] == inside:
                end += 1
            yield start, end
