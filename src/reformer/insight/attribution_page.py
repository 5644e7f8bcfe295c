"""Attribution in an inspection's page: the text, each character as deep in colour as it matters, and a scale."""

from itertools import groupby

from reformer.insight.attribution import Attribution, Piece, in_words
from reformer.insight.inspect_pictures import bars, text

LEVELS = 9
"""Depths of colour on either side of zero."""
MOST_BARS, AROUND, MOST_OWN = 12, 3, 12
"""Places that have a bar, and the characters that are shown beside each and of it."""

STYLE = """
.read { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; border: 1px solid var(--line);
  padding: .6rem .8rem; max-height: 40rem; overflow-y: auto; }
.read span, .scale span { padding: .1rem 0; border-radius: .15rem; }
.scale span { display: inline-block; width: 1.6rem; height: 1rem; padding: 0; }
.read .asked { outline: 2px solid currentColor; }
""" + "".join(
    f".{name}{level} {{ background: color-mix(in srgb, {colour} {round(100 * level / LEVELS)}%, transparent); }}\n"
    for name, colour in (("for", "#ee7733"), ("against", "#3388cc"))
    for level in range(1, LEVELS + 1)
)


def section(found: Attribution) -> str:
    """The part of the page. Every text in it is escaped."""
    deepest = max((abs(piece.value) for piece in found.pieces), default=0.0)
    scale = "".join(f'<span class="{_class(level)}"></span>' for level in range(-LEVELS, LEVELS + 1) if level)
    greatest = sorted(found.pieces, key=lambda piece: -abs(piece.value))[:MOST_BARS]
    drawn = bars(
        [(_words(found, piece), [(f"{piece.value:+.3f}", abs(piece.value))]) for piece in greatest],
        deepest,
        "The characters that matter most",
    )
    return (
        f"<h2>What the answer about document {found.document} comes from</h2><p><bdi>{text(in_words(found))}.</bdi></p>"
        "<p>Integrated gradients through the embeddings: orange characters speak for the answer, blue ones against it. "
        "What is asked about has a frame.</p>"
        f'<p class="scale" role="img" aria-label="from {-deepest:.3f} to {deepest:+.3f}">'
        f"{text(f'{-deepest:.3f}')} {scale} {text(f'{deepest:+.3f}')}</p>"
        f'<div class="read"><bdi>{"".join(_marked(found, deepest))}</bdi></div>'
        f'<h3>The characters that matter most</h3><div class="scroll">{drawn}</div>'
    )


def _marked(found: Attribution, deepest: float) -> list[str]:
    """The text in runs of characters of one colour; what no token stands for has none."""
    levels = [0] * len(found.text)
    for piece in found.pieces:
        level = 0 if deepest == 0 else round(LEVELS * piece.value / deepest)
        levels[piece.start : piece.end] = [level] * (piece.end - piece.start)
    place = found.place or (0, 0)
    asked = [place[0] <= number < place[1] for number in range(len(levels))]
    runs, start = [], 0
    for (level, framed), run in groupby(zip(levels, asked, strict=True)):
        end = start + len(list(run))
        names = " ".join(name for name in (_class(level), "asked" if framed else "") if name)
        words = text(found.text[start:end])
        runs.append(f'<span class="{names}">{words}</span>' if names else words)
        start = end
    return runs


def _class(level: int) -> str:
    return f"for{level}" if level > 0 else f"against{-level}" if level else ""


def _words(found: Attribution, piece: Piece) -> str:
    """A place, with the characters that stand beside it."""
    own = found.text[piece.start : piece.end][:MOST_OWN]
    before, after = found.text[max(0, piece.start - AROUND) : piece.start], found.text[piece.end : piece.end + AROUND]
    return " ".join(f"{before}[{own}]{after}".split()) + f" {piece.start}"
