"""Where Triton's interpreter is on, the contract is that of the `triton` backend: each property once, variants in turn.

`make test-triton` runs it. The interpreter walks a thousand times more slowly than a compiled kernel, so a property is
tried with one variant, the next one with the next; what is about files and memory, or goes token by token or over
hundreds, is left out.
"""

from itertools import cycle

import pytest

from reformer.ops import gpu
from reformer.ops.window_attention import triton_rows, triton_tiles

VARIANTS = ("local+lsh", "separate", "heads", "lsh", "grouped", "local")
"""Position and hash orderings, queries in the keys' row and in one of their own, heads of several kinds with a
polynomial of the scores, grouped keys with `sinh`."""

OTHER_FILES = ("test_alignment.py", "test_bad_input.py", "test_distributed.py", "test_golden.py", "test_memory.py")

LONG = (
    "test_generation_with_a_cache_equals_without",
    "test_generation_in_a_batch_equals_generation_alone",
    "test_the_state_does_not_grow",
    "test_the_maximum_can_be_raised_when_loading",
    "test_axial_positions_reach_as_far_as_their_table",
)


@pytest.fixture(autouse=True)
def _kernels_unasked(monkeypatch):
    """The kernels are chosen for tensors of the processor, in one tile a row and with small tables: fewer steps."""
    if gpu.INTERPRETED:
        monkeypatch.setattr(gpu, "DEVICES", ("cpu",))
        monkeypatch.setattr(triton_rows, "FEWEST_KINDS", 64)
        monkeypatch.setattr(triton_tiles, "default", lambda kernel, query, window: triton_tiles.Tiling(64, 64, 4, 2))


def pytest_collection_modifyitems(config, items):
    if not gpu.INTERPRETED:
        return
    here = [item for item in items if item.path.parent == config.rootpath / "tests" / "contract"]
    chosen = set(_one_of_each(here))
    config.hook.pytest_deselected(items=[item for item in here if item not in chosen])
    items[:] = [item for item in items if item in chosen or item not in here]


def _one_of_each(items):
    """Of every property its last call with the variant whose turn it is: the fewest pieces, a length of few tokens."""
    properties = {}
    for item in items:
        is_slow = item.get_closest_marker("slow") is not None
        if item.path.name not in OTHER_FILES and item.originalname not in LONG and not is_slow:
            properties.setdefault((item.path, item.originalname), []).append(item)
    turn = cycle(VARIANTS)
    for calls in properties.values():
        variant = next(turn)
        mine = [call for call in calls if _variant(call) == variant]
        yield (mine or calls)[-1]


def _variant(item):
    return item.callspec.params.get("variant") if hasattr(item, "callspec") else None
