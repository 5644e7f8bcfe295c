"""Scores of a text by a language model: bits of each of its tokens."""

from math import isfinite
from typing import Any

from reformer.data import DataError, find_text
from reformer.inference.scoring import PIECE
from reformer.inference.token_scores import TextScorer
from reformer.serving.engine import QueueFullError, Work
from reformer.serving.records import busy, in_time
from reformer.serving.refusals import RefusalError
from reformer.serving.served_run import ServedRun
from reformer.serving.uploads import Limits, Upload


async def score(served: ServedRun, upload: Upload, limits: Limits) -> dict[str, Any]:
    """What `reformer score` tells of a text, and of each token its bytes, its id and its bits, as in `--per-token`.

    Raises:
        RefusalError: the text cannot be read, is too long for the model, or is not scored in time.
    """

    def scored(batch: list[Any]) -> list[Any]:
        run = served.run
        config: Any = run.model.config
        longest = config.max_position_embeddings
        try:
            [text] = find_text(str(upload.path))
            scorer = TextScorer(run, text, PIECE)
            tokens = [
                {"start": start, "end": end, "id": token, "bits": None if bits != bits else round(bits, 6)}
                for scores in scorer
                for token, start, end, bits in zip(
                    *(part.tolist() for part in (scores.ids, scores.starts, scores.ends, scores.bits)), strict=True
                )
            ]
        except DataError as error:
            return [error]
        finally:
            # Raised for the text, and other requests are checked by it.
            config.max_position_embeddings = longest
        # Of one token alone nothing is told, and JSON has no number for that.
        told = {name: value if isfinite(value) else None for name, value in scorer.totals.result().items()}
        return [told | {"per_token": tokens}]

    # A token is a byte at most, and where it is more, the bound is not felt.
    work = Work(None, upload.path.stat().st_size, scored, alone=True)
    try:
        future = served.engine.put(work)
    except QueueFullError as error:
        raise busy(error.retry_after) from None
    try:
        answer = await in_time(future, limits)
    finally:
        future.cancel()
    if isinstance(answer, DataError):
        raise RefusalError.of_errors([answer], upload.name)
    return answer
