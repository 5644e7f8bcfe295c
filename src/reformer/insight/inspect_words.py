"""Report of an inspection in words: rows of tables, and a line for each layer."""

from collections.abc import Sequence

from reformer.insight.inspect import InspectReport, TokenReport
from reformer.insight.inspect_heads import HeadReport

AROUND = 6
"""Characters on either side of a token that is shown."""


def weight_rows(report: InspectReport) -> list[dict[str, str]]:
    """A row for each hashed head: the share of full attention's weight that it holds, in percent."""
    rounds = max(len(head.fullness) for head in report.heads)
    return [_weight_row(head, rounds, report.heads) for head in report.heads]


def _weight_row(head: HeadReport, rounds: int, heads: Sequence[HeadReport]) -> dict[str, str]:
    row = {"head": f"{head.layer}/{head.head}", "kind": head.kind, "keys": percent(head.keys_seen)}
    # What the orderings by position hold before any round.
    if any(len(other.windows) > 1 for other in heads):
        row["no round"] = percent(head.cumulated[0]) if len(head.windows) > 1 else ""
    for number in range(1, rounds + 1):
        row[rounds_of(number)] = percent(head.cumulated[number]) if number < len(head.cumulated) - 1 else ""
    row["one more"] = percent(head.cumulated[-1])
    row["window x 2"] = percent(head.wider["hash"])
    row["best keys"] = percent(head.best)
    return row


def bucket_rows(report: InspectReport) -> list[dict[str, str]]:
    """A row for each hashed head: how full its buckets are, as means over its rounds."""
    rows = []
    for head in report.heads:
        fallen = [share for share in head.fallen if share is not None]
        rows.append(
            {
                "head": f"{head.layer}/{head.head}",
                "buckets": str(head.buckets),
                "effective": f"{mean([each.effective for each in head.fullness]):.1f}",
                "keys each": f"{mean([each.mean for each in head.fullness]):.1f}",
                "fullest": f"{max(each.greatest for each in head.fullness):,}",
                "empty": percent(mean([each.empty for each in head.fullness])),
                "window": str(head.windows["round"]),
                "fallen out": percent(mean(fallen)) if fallen else "",
            }
        )
    return rows


def score_rows(report: InspectReport) -> list[dict[str, str]]:
    """A row for each change, with the metric that the run was chosen by and what the change has done to it."""
    found = report.scores or []
    name = metric_name(report)
    rows = []
    for score in found:
        value, before = score.metrics[name], found[0].metrics[name]
        change = "" if score is found[0] else f"{value - before:+.4f}"
        rows.append({"the run": score.change, name: f"{value:.4f}", "change": change})
    return rows


def metric_name(report: InspectReport) -> str:
    """The metric by which changes are compared: the one that the run was chosen by, if it was measured."""
    names = list(report.scores[0].metrics) if report.scores else []
    return report.best_metric if report.best_metric in names or not names else names[-1]


def token_rows(token: TokenReport, most: int = 5) -> list[dict[str, str]]:
    """A row for each token that the one asked for saw, of each head the `most` of greatest weight."""
    return [
        {
            "head": f"{view.layer}/{view.head}",
            "token": str(seen.token),
            "text": "".join(around(token, seen.token)),
            "weight": percent(seen.weight),
            "of full": percent(seen.full_weight),
            "by": ", ".join(seen.orderings),
        }
        for view in token.views
        for seen in view.tokens[:most]
    ]


def around(token: TokenReport, number: int) -> tuple[str, str, str]:
    """A token's characters, in brackets, between those that stand beside it; line breaks as spaces."""
    start, end = token.offsets[number]
    before, after = token.text[max(0, start - AROUND) : start], token.text[end : end + AROUND]
    own = token.text[start:end] if end > start else "special token"
    plain = [part.replace("\n", " ").replace("\t", " ") for part in (before, own, after)]
    return plain[0], f"[{plain[1]}]", plain[2]


def verdicts(report: InspectReport) -> list[str]:
    """A line for each layer: what its hash rounds hold, and what the run's score says of them."""
    lines = []
    for number in dict.fromkeys(head.layer for head in report.heads):
        heads = [head for head in report.heads if head.layer == number]
        held, seen = (mean([getattr(head, name) for head in heads]) for name in ("together", "keys_seen"))
        before = mean([head.cumulated[0] for head in heads])
        more = mean([head.cumulated[-1] - head.together for head in heads])
        wider = mean([head.wider["hash"] - head.together for head in heads])
        by_position = f", {percent(before)} % by position" if before else ""
        line = (
            f"layer {number}: {percent(held)} % of full attention's weight is held with {percent(seen)} % of the "
            f"keys{by_position}; one more round would add {percent(more)}, a hash window of twice the width "
            f"{percent(wider)}"
        )
        lines.append(line + _of_scores(report, number))
    return lines


def _of_scores(report: InspectReport, layer: int) -> str:
    if report.scores is None:
        return ""
    name = metric_name(report)
    values = {score.change: score.metrics[name] for score in report.scores}
    whole = report.scores[0].metrics[name]
    removed, local = (values[f"layer {layer} {change}"] for change in ("without attention", "with local attention"))
    return f"; {name} {removed - whole:+.4f} without its attention, {local - whole:+.4f} with local attention"


def rounds_of(number: int) -> str:
    """`number` rounds in words."""
    return f"{number} round{'s' * (number > 1)}"


def percent(share: float) -> str:
    """A share in percent, with a digit behind the point."""
    return f"{100 * share:.1f}"


def mean(values: Sequence[float]) -> float:
    """Their mean; 0 of none."""
    return sum(values) / len(values) if values else 0.0
