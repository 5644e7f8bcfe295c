"""Hashing and counting kernels of Triton, which is imported with them, on the first call."""
