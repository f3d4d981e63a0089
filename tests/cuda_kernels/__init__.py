"""The CUDA kernels compiled for GPUs that are not here: what each asks of a multiprocessor.

`compile.py` builds them and reads their figures, `occupancy.py` says what these mean for the joint
loss, `test_*.py` hold them to section [cuda] of `tests/compile_budgets.toml`.
"""
