"""Hashing and counting kernels; imported on the first call only, because they import triton."""
