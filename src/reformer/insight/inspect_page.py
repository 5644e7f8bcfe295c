"""Page of an inspection: one HTML file with its pictures, that needs no other."""

from collections.abc import Mapping, Sequence

from reformer.insight import attribution_page
from reformer.insight.inspect import InspectReport, TokenReport
from reformer.insight.inspect_heads import HeadReport
from reformer.insight.inspect_pictures import bars, heat_map, legend, text
from reformer.insight.inspect_words import around, percent, score_rows, verdicts, weight_rows
from reformer.wording import counted

MOST_BESIDE = 12
"""Characters of a token beside its bar, at most."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --empty: #eee; --heat: #1f6f8b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #181818; --line: #444; --empty: #2b2b2b; --heat: #4fb3d4; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.text { text-align: left; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
svg .empty { fill: var(--empty); }
svg .heat { fill: var(--heat); }
svg text.deep { fill: var(--paper); }
.part0 { fill: #4477aa; background: #4477aa; } .part1 { fill: #ee6677; background: #ee6677; }
.part2 { fill: #228833; background: #228833; } .part3 { fill: #ccbb44; background: #ccbb44; }
.part4 { fill: #66ccee; background: #66ccee; } .part5 { fill: #aa3377; background: #aa3377; }
.part6 { fill: #999999; background: #999999; } .part7 { fill: #dd8833; background: #dd8833; }
.legend > span { margin-right: 1.2rem; white-space: nowrap; }
.legend .key { display: inline-block; width: .9rem; height: .9rem; margin-right: .4rem; vertical-align: -.1rem; }
mark { color: inherit; background: color-mix(in srgb, var(--heat) 40%, transparent); }
.note { opacity: .75; }
"""


def page(report: InspectReport) -> bytes:
    """The page as UTF-8. Every text in it is escaped, and a policy in it forbids the browser to fetch anything."""
    title = f"{report.run} on {', '.join(report.sources)}"
    tokens = sum(document["tokens"] for document in report.documents)
    parts = [
        f"<h1><bdi>{text(title)}</bdi></h1>",
        f"<p>{counted(len(report.documents), 'document')}, {counted(tokens, 'token')}. The weights of "
        f"{counted(report.queries, 'sampled token')} were computed for every other token, as full attention does.</p>",
        "<ul>" + "".join(f"<li>{text(line)}</li>" for line in [*verdicts(report), *report.notes]) + "</ul>",
        _weights(report),
        _scores(report),
        _buckets(report),
        "" if report.token is None else _token(report.token),
        "" if report.attribution is None else attribution_page.section(report.attribution),
        "<h2>All figures</h2>",
        _table(weight_rows(report)),
        _documents(report),
    ]
    whole = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}{attribution_page.STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    # Names of files can hold bytes that are no UTF-8.
    return whole.encode("utf-8", "backslashreplace")


def _name(head: HeadReport) -> str:
    return f"layer {head.layer}, head {head.head}"


def _weights(report: InspectReport) -> str:
    """What the orderings hold of full attention's weight."""
    rounds = max(len(head.fullness) for head in report.heads)
    names = ["by position", *(f"round {number}" for number in range(1, rounds + 1)), "one round more"]
    rows = []
    for head in report.heads:
        gains = [after - before for before, after in zip([0.0, *head.cumulated], head.cumulated, strict=False)]
        # A head of fewer rounds than another still has its further one in the last colour.
        padded = [*gains[:-1], *[0.0] * (rounds + 2 - len(gains)), gains[-1]]
        parts = [(f"{name}: {percent(gain)} %", gain) for name, gain in zip(names, padded, strict=True)]
        rows.append((_name(head), parts))
    alone = ["local", "global", *(f"round {number}" for number in range(1, rounds + 1))]
    alone = [name for name in alone if any(name in head.held for head in report.heads)]
    columns = [*alone, "together", "best"]
    map_rows = [
        (_name(head), [*(head.held.get(name) for name in alone), head.together, head.best]) for head in report.heads
    ]
    return (
        "<h2>How much of full attention's weight is held</h2>"
        "<p>The whole bar is all weight that full attention with the same scores would give out. Each colour is what "
        "that ordering adds to those before it; the last is what one more hash round would add.</p>"
        + legend(names)
        + _scrolled(bars(rows, 1.0, "Weight held by each head, added up over its orderings"))
        + "<p>Each ordering by itself, all of the layer together, and what as many keys would hold if they were those "
        "of the greatest weight (best), in percent:</p>"
        + _scrolled(heat_map(columns, map_rows, "Weight held by each ordering alone"))
    )


def _scores(report: InspectReport) -> str:
    if report.scores is None:
        return ""
    rows = score_rows(report)
    name = list(rows[0])[1]
    values = [float(score.metrics[name]) for score in report.scores]
    greatest = max([*map(abs, values), 1e-9])
    pictured = [
        (score.change.removeprefix("all of these ").replace(" attention", ""), [(f"{value:.4f}", max(0.0, value))])
        for score, value in zip(report.scores, values, strict=True)
    ]
    better = "greater" if report.greater_is_better else "smaller"
    return (
        f"<h2>Does it matter?</h2><p>{text(name)}, by the evaluation of the task ({better} is better): as it is, "
        "without the attention of a layer, and with local attention in place of its hashing.</p>"
        + _scrolled(bars(pictured, greatest, f"{name} of each change"))
        + _table(rows)
    )


def _buckets(report: InspectReport) -> str:
    rounds = max(len(head.fullness) for head in report.heads)
    columns = [f"round {number}" for number in range(1, rounds + 1)]
    used = [(_name(head), [each.effective / head.buckets for each in head.fullness]) for head in report.heads]
    fallen = [(_name(head), head.fallen) for head in report.heads]
    rows = [
        {
            "head": _name(head),
            "round": str(number),
            "buckets": str(head.buckets),
            "mean": f"{each.mean:.1f}",
            "fullest": f"{each.greatest:,}",
            "empty, %": percent(each.empty),
            "effective": f"{each.effective:.1f}",
            "hash window": str(head.windows["round"]),
        }
        for head in report.heads
        for number, each in enumerate(head.fullness, 1)
    ]
    return (
        "<h2>How full the buckets are</h2>"
        "<p>The effective number of buckets (the exponential of the entropy of a key's bucket), in percent of all. "
        "Where it is small, most keys lie in a few buckets.</p>"
        + _scrolled(heat_map(columns, used, "Effective share of the buckets"))
        + "<p>Keys of a token's own bucket that lie outside its window, in percent. Where this is much, a wider "
        "window, or more buckets, would help.</p>"
        + _scrolled(heat_map(columns, fallen, "Keys that fell out of the window"))
        + f"<details><summary>Figures</summary>{_table(rows)}</details>"
    )


def _token(token: TokenReport) -> str:
    """What one token saw, head by head."""
    parts = [
        f"<h2>What token {token.token} of document {token.document} saw</h2><p>{_in_its_place(token, token.token)}</p>"
    ]
    for view in token.views:
        rows = [
            f'<tr><td>{seen.token}</td><td class="text">{_in_its_place(token, seen.token)}</td>'
            f"<td>{percent(seen.weight)}</td><td>{percent(seen.full_weight)}</td>"
            f'<td class="text">{text(", ".join(seen.orderings))}</td></tr>'
            for seen in view.tokens
        ]
        head = "".join(f"<th>{name}</th>" for name in ("token", "text", "weight, %", "in full attention, %", "by"))
        drawn = bars(
            [
                (f"{_own(token, seen.token)} {seen.token}", [(f"{percent(seen.weight)} %", seen.weight)])
                for seen in view.tokens[:8]
            ],
            1.0,
            "Weights of the tokens that were seen",
        )
        parts.append(
            f"<h3>Layer {view.layer}, head {view.head}: {counted(view.seen, 'token')} seen, {percent(view.held)} % of "
            f"full attention's weight</h3>{_scrolled(drawn)}<details><summary>Tokens</summary>"
            f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div></details>'
        )
    return "".join(parts)


def _own(token: TokenReport, number: int) -> str:
    return around(token, number)[1][1:-1][:MOST_BESIDE]


def _in_its_place(token: TokenReport, number: int) -> str:
    before, own, after = around(token, number)
    return f"<bdi>{text(before)}<mark>{text(own[1:-1])}</mark>{text(after)}</bdi>"


def _documents(report: InspectReport) -> str:
    rows = [
        {"document": str(number), "id": document["id"], "tokens": f"{document['tokens']:,}"}
        for number, document in enumerate(report.documents, 1)
    ]
    return f"<details><summary>Documents</summary>{_table(rows)}</details>"


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{text(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _scrolled(picture: str) -> str:
    return f'<div class="scroll">{picture}</div>'
