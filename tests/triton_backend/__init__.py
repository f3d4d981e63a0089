"""The Triton kernels without a GPU: in Triton's interpreter, and compiled ahead of time."""
