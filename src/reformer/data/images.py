"""`Image`: pixels with a label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reformer.data.origin import NOWHERE, Origin


@dataclass(frozen=True)
class Image:
    """Pixels, `[channels, height, width]` from 0 to 1, with an id and, if it is known, a label."""

    pixels: NDArray[np.float32]
    id: str
    label: str | None = None
    source: str = ""
    origin: Origin = NOWHERE
