"""Page of a report: what there is to know of a model's answers, in one HTML file that needs no other."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from reformer.metrics.calibration import Calibration
from reformer.metrics.forecast_review import ForecastReview
from reformer.metrics.marked import MarkedDocument, lines
from reformer.metrics.review import MOST_MISTAKES, Review
from reformer.report.forecasts import forecast_part

MOST_CLASSES = 40
"""Classes of a table of confusions: the most frequent ones."""


def report_page(
    title: str,
    parts: Mapping[str, Review | ForecastReview],
    calibration: Calibration,
    *,
    curve: bytes | None = None,
    floor: Mapping[str, Any] | None = None,
) -> bytes:
    """The page as UTF-8.

    Every text in it is escaped, its links and scripts are none, and a policy in it forbids the browser to fetch any.

    Args:
        parts: reviews of parts of the data, by their names, the most telling one last: its mistakes are listed.
        curve: a picture of the run, as PNG.
        floor: the classical method and its scores, as in `metrics.json`.
    """
    of_forecasts = all(isinstance(review, ForecastReview) for review in parts.values())
    told = {
        name: forecast_part(review) if isinstance(review, ForecastReview) else _class_part(review, calibration)
        for name, review in parts.items()
    }
    review = parts[list(parts)[-1]]
    documents = review.documents if isinstance(review, Review) else ()
    page = _template("forecasts.html" if of_forecasts else "report.html").render(
        title=title,
        parts=told,
        last=list(parts)[-1],
        calibration=calibration,
        curve=None if curve is None else base64.b64encode(curve).decode("ascii"),
        floor=floor,
        most_mistakes=MOST_MISTAKES,
        documents=documents,
        labels=_labels(documents),
        marks_style=_marks_style() if documents else "",
        lines=lines,
    )
    # Names of files can hold bytes that are no UTF-8.
    return page.encode("utf-8", "backslashreplace")


def marked_page(title: str, documents: Sequence[MarkedDocument]) -> bytes:
    """The page of documents with what was found in them, in colours, as UTF-8; it is as self-contained."""
    spans = [span for document in documents for span in document.spans]
    page = _template("marked.html").render(
        title=title,
        documents=documents,
        labels=_labels(documents),
        kinds=any(span.kind in ("missed", "wrong") for span in spans),
        marks_style=_marks_style(),
        lines=lines,
        curve=None,
    )
    return page.encode("utf-8", "backslashreplace")


def _labels(documents: Sequence[MarkedDocument]) -> list[str]:
    return sorted({span.label for document in documents for span in document.spans})


@cache
def _marks_style() -> Markup:
    return Markup((files("reformer.report") / "marks.css").read_text(encoding="utf-8"))


def _class_part(review: Review, calibration: Calibration) -> dict[str, Any]:
    return {
        "review": review,
        "classes": sorted(review.class_scores(), key=lambda scores: -scores.support),
        "confusions": confusions(review),
        "calibration": review.calibration_metrics(calibration),
    }


def confusions(review: Review) -> dict[str, Any] | None:
    """The table of the most frequent classes, each cell with its share of the row; None where nothing was counted."""
    counts = review.confusions
    if not counts.any():
        return None
    frequent = counts.sum(axis=1) + counts.sum(axis=0)
    chosen = sorted(range(len(counts)), key=lambda number: -frequent[number])[:MOST_CLASSES]
    # What is beside all classes stands last.
    chosen.sort(key=lambda number: number >= len(review.names))
    names = review.axis
    rows = []
    for true in chosen:
        total = max(int(counts[true].sum()), 1)
        cells = [
            {"count": int(counts[true, given]), "share": float(counts[true, given] / total), "right": true == given}
            for given in chosen
        ]
        rows.append({"name": names[true], "cells": cells})
    return {"names": [names[number] for number in chosen], "rows": rows, "left_out": len(counts) - len(chosen)}


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("reformer.report", package_path=".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(name)
