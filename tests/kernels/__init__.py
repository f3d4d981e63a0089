"""Property, contract and golden tests of `hhd_kernels`, for every backend that is built here."""
