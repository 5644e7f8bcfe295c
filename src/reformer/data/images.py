"""Images from IDX files, from image files, or from a table that names image files and their labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Image:
    """Pixels, `[channels, height, width]` from 0 to 1, and what is known of them."""

    pixels: NDArray[np.float32]
    id: str
    label: str | None = None
    source: str = ""
