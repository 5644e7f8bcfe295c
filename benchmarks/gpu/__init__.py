"""`python -m benchmarks.gpu`: what the kernels do on a card."""
