"""Model card of a run: what it has learned, from what, how well, and how to load it, in Markdown."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reformer import __version__
from reformer.runs.places import last_name, model_name
from reformer.tasks.base import Run, Task
from reformer.wording import counted

PIPELINES = {
    "token-classification": "token-classification",
    "sequence-classification": "text-classification",
    "question-answering": "question-answering",
    "language-modelling": "text-generation",
    "masked-language-modelling": "fill-mask",
    "text-to-text": "text-generation",
    "forecasting": "time-series-forecasting",
    "image-classification": "image-classification",
    "image-to-text": "image-to-text",
}
"""The hub's names of tasks, by ours."""

MOST_LABELS = 50
"""Labels that a card names, at most."""

# What means something within a line; addresses become links by their colon, their "www." or an "@".
_MEANT = re.compile(r"([\\`*_\[\]#|~$:@]|(?<=www)\.)")
# Controls, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]+")


def escaped(text: object) -> str:
    r"""Text of users as Markdown shows it, within a line: every character that could mean something is marked as text.

    >>> print(escaped("a|b <img>"))
    a\|b &lt;img&gt;
    """
    plain = _MEANT.sub(r"\\\1", _CONTROLS.sub(" ", str(text)))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def model_card(run: Run[Task], metrics: Mapping[str, Any]) -> str:
    """The card of a finished run.

    Of the data it names files without their folders: a card may be read by others.

    Args:
        metrics: what `metrics.json` has.
    """
    name = run.folder.resolve().name
    parts = [
        _front(run, name),
        f"# {escaped(name)}",
        f"A model of the library reformer-torch that has learned {run.recipe.training.task.replace('-', ' ')}.",
        "## Scores",
        _scores(metrics),
        "## Data",
        "\n".join(f"- {line}" for line in _data(run)),
        "## Model",
        "\n".join(f"- {line}" for line in _model(run, metrics)),
        "## What it promises",
        "Padding and the other texts of a batch change no answer, evaluation is deterministic, every length up to the "
        "longest is read whole, and the saved model gives the answers of the trained one bit for bit; a causal model "
        "reads a stream in pieces. `reformer doctor` examines this model for it.",
        "## Use",
        _use(run, name),
    ]
    return "\n\n".join(parts) + "\n"


def _front(run: Run[Task], name: str) -> str:
    """The card's metadata. JSON's strings are YAML's, whatever is in them."""
    task = run.recipe.training.task
    told = {"library_name": "reformer-torch", "tags": ["reformer-torch", "long-context", task], "model_name": name}
    if task in PIPELINES:
        told["pipeline_tag"] = PIPELINES[task]
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in told.items()), "---"])


def _scores(metrics: Mapping[str, Any]) -> str:
    """A table of what was measured on each part."""
    parts = {part: metrics[part] for part in ("validation", "test") if metrics.get(part)}
    baseline = metrics.get("baseline")
    if baseline:
        told = f"baseline: {baseline['method']}"
        parts |= {f"{told}, on {part}": baseline[part] for part in ("validation", "test") if baseline.get(part)}
    names = dict.fromkeys(
        name for values in parts.values() for name, value in values.items() if isinstance(value, int | float)
    )
    rows = [["", *map(escaped, parts)], ["---", *["---:"] * len(parts)]]
    rows += [
        [escaped(name), *(_number(values.get(name)) for values in parts.values())] for name in names if name != "step"
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _data(run: Run[Task]) -> Iterator[str]:
    data = run.recipe.data
    if data.source is not None:
        yield f"the data set {escaped(data.source)} of `reformer data list`"
    for part in ("train", "validation", "test"):
        given = getattr(data, part)
        if given is not None:
            yield f"{part}: {escaped(last_name(given))}"
    if data.source is None and data.validation is None:
        yield "for validation a part of the training data was held out"


def _model(run: Run[Task], metrics: Mapping[str, Any]) -> Iterator[str]:
    config: Any = run.model.config
    layers = [
        layer if isinstance(layer, str) else " and ".join(dict.fromkeys(layer)) for layer in config.attention_layers
    ]
    yield f"{counted(metrics['training']['weights'], 'weight')}, hidden size {config.hidden_size}"
    yield f"layers: {', '.join(layers)}"
    yield f"longest text: {counted(config.max_position_embeddings, 'token')}"
    if getattr(run.model, "classifier", None) is not None:
        yield f"labels: {_listed(run.labels)}"
    start = metrics.get("start")
    if start:
        yield f"it began as {escaped(model_name(start['from']))}, whose licence may bind it"
    training, versions = metrics["training"], metrics["versions"]
    yield f"trained in {training['precision']} for {counted(training['steps'], 'step')}"
    yield f"versions: {', '.join(f'{name} {escaped(version)}' for name, version in versions.items())}"


def _listed(labels: Iterable[str]) -> str:
    labels = list(labels)
    shown = ", ".join(map(escaped, labels[:MOST_LABELS]))
    return shown if len(labels) <= MOST_LABELS else f"{shown}, and {len(labels) - MOST_LABELS:,} others"


def _use(run: Run[Task], name: str) -> str:
    # In code nothing is escaped: a name that is no plain one is left to the reader.
    place = name if re.fullmatch(r"[\w.-]+", name, re.ASCII) else "FOLDER"
    command = {
        "language-modelling": f"reformer generate {place} TEXT",
        "masked-language-modelling": f"reformer doctor {place}",
    }.get(run.recipe.training.task, f"reformer predict {place} FILE")
    return (
        f"```sh\npip install 'reformer-torch>={__version__}'\n{command}\n```\n\n"
        f'```python\nimport reformer\n\nrun = reformer.load_run("{place}")  # run.model, run.processor\n```'
    )
