"""Tile sizes of the Triton kernels: defaults, candidates and the file of measured ones."""

import json

import pytest
import torch

from reformer.errors import ReformerError

triton_tiles = pytest.importorskip("reformer.ops.window_attention.triton_tiles")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("head_dim", [1, 16, 80, 256])
def test_candidates_begin_with_the_default_and_are_few(dtype, head_dim):
    query = torch.empty(1, 1, 1, head_dim, dtype=dtype)
    for kernel in ("forward", "backward_queries", "backward_keys"):
        found = triton_tiles.candidates(kernel, query, 64)
        assert found[0] == triton_tiles.tiling(kernel, query, 64)
        assert len(found) <= 16
        assert len(set(found)) == len(found)


@pytest.fixture
def tiles(tmp_path, monkeypatch):
    monkeypatch.setenv(triton_tiles.FILE, str(tmp_path / "tiles.json"))
    triton_tiles._measured.cache_clear()
    yield tmp_path / "tiles.json"
    triton_tiles._measured.cache_clear()


def test_the_fastest_tiling_is_kept(tiles):
    query = torch.empty(1, 1, 1, 64)
    asked = []

    def seconds():
        asked.append(triton_tiles.tiling("forward", query, 64))
        if len(asked) == 2:
            raise type("OutOfResources", (Exception,), {})
        return 1.0 if len(asked) == 4 else 2.0

    best = triton_tiles.tune("forward", query, 64, seconds)
    assert asked == triton_tiles.candidates("forward", query, 64)
    assert best == asked[3]
    triton_tiles._measured.cache_clear()
    assert triton_tiles.tiling("forward", query, 64) == best
    assert triton_tiles.tiling("forward", query, 256) == triton_tiles.default("forward", query, 256)


def test_a_file_of_tilings_that_cannot_be_read_is_named(tiles):
    tiles.write_text(json.dumps({triton_tiles._card(): {"forward": {"tile": 1}}}))
    with pytest.raises(ReformerError, match=r"REFORMER_TRITON_TILES=.*tiles.json: expected the JSON"):
        triton_tiles.tiling("forward", torch.empty(1, 1, 1, 64), 64)
