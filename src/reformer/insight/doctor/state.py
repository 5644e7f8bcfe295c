"""Properties of a model's state: determinism, side effects, random numbers, saving."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reformer.insight.doctor.examination import Deviation, greatest, worst_of
from reformer.insight.doctor.subject import Inputs, Size, Subject


def _same(subject: Subject, found: Tensor, expected: Tensor, inputs: Inputs, where: str) -> Deviation:
    return greatest(found, expected, where, by_token=subject.by_token(expected, inputs))


def determinism(subject: Subject, size: Size) -> Deviation:
    """What two evaluations of the same inputs differ in, the random state being another each time."""
    inputs = subject.draw(size)
    with _random_state_kept():
        answers = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            answers.append(subject.answers(inputs))
        return _same(subject, answers[1], answers[0], inputs, "the same inputs after another random seed")


def random_state(subject: Subject, size: Size) -> Deviation:
    """Whether evaluation draws from the global random state, or anything sets it."""
    inputs = subject.draw(size)
    with _random_state_kept():
        torch.manual_seed(3)
        before = _states()
        subject.answers(inputs)
        moved = [name for name, state in _states().items() if state != before[name]]
        if moved:
            return Deviation(1.0, where=f"evaluation changes the random state of {' and '.join(moved)}")
        ends = []
        with subject.training(), suppress(Exception):
            for seed in (1, 2):
                torch.manual_seed(seed)
                subject.answers(inputs)
                ends.append(_states()["torch"])
        # That a length does not train is another promise.
        if len(ends) < 2:
            return Deviation(0.0)
        # Had a pass set the state, both would end in the same one.
        if ends[0] == ends[1]:
            return Deviation(1.0, where="a training pass sets the random state of torch")
    return Deviation(0.0)


def side_effects(subject: Subject, size: Size) -> Deviation:
    """What other calls in between change: in the answer to the same inputs, in weights and buffers, in the
    configuration."""
    # Calls that were made before may have changed it already.
    subject = subject.fresh()
    model, inputs = subject.model, subject.draw(size)
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    config = copy.deepcopy(model.config.to_dict())
    first = subject.answers(inputs)
    again = subject.answers(inputs)
    longer = subject.draw(Size(size.batch + 1, min(size.length + 3, subject.longest), size.seed + 5))
    for other in (subject.draw(Size(1, 1, size.seed)), longer):
        subject.answers(other)
        # That a length does not train is another promise.
        with subject.training(), suppress(Exception):
            subject.loss(other).backward()
    found = [
        _same(subject, again, first, inputs, "the same inputs twice"),
        _same(subject, subject.answers(inputs), first, inputs, "the same inputs after other calls"),
    ]
    for name, each in model.state_dict().items():
        if not torch.equal(each, weights[name]):
            found.append(Deviation(1.0, where=f"calls change {name}"))
    if model.config.to_dict() != config:
        changed = [name for name, value in model.config.to_dict().items() if value != config.get(name)]
        found.append(Deviation(1.0, where=f"calls change the configuration: {', '.join(changed)}"))
    if any(module.training for module in model.modules()):
        found.append(Deviation(1.0, where="after eval() a part of the model is in training mode"))
    return worst_of(found)


def saving(subject: Subject, size: Size) -> Deviation:
    """What saving and loading change."""
    inputs = subject.draw(size)
    expected = subject.answers(inputs)
    with TemporaryDirectory() as folder, _random_state_kept():
        subject.model.save_pretrained(folder)
        # Whatever is not in the file is drawn anew.
        torch.manual_seed(11)
        loaded: Any = type(subject.model).from_pretrained(folder, dtype=subject.model.dtype)
        found = type(subject)(loaded).answers(inputs)
    return _same(subject, found, expected, inputs, "the model that was saved and loaded")


def _states() -> dict[str, Any]:
    """The states of the global generators."""
    numbers: Any = np.random.get_state()
    return {
        "torch": bytes(torch.get_rng_state().numpy()),
        "Python": random.getstate(),
        "numpy": (numbers[1].tobytes(), numbers[2:]),
    }


@contextmanager
def _random_state_kept() -> Iterator[None]:
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)
