"""`Image`: pixels with a label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    others: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Other columns or fields of the record, where they are kept."""
