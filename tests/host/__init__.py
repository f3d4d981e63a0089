"""Golden, property and contract tests of the NumPy face, `hhd_kernels.host`."""
