"""Triton's kernels of window attention: imported on the first call, because this imports triton."""
