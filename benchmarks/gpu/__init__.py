"""The cases that need a GPU: their contenders, the kernels' contract, and the count of what the kernels ask for."""
