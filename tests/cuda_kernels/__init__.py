"""The CUDA kernels compiled for GPUs that are not here: what each asks of a multiprocessor.

`compile.py` builds them and reads their figures, `machine_code.py` reads their code, `occupancy.py`
says what the figures mean for the joint loss, `test_*.py` hold them to section [cuda] of
`tests/compile_budgets.toml`.
"""
