"""What only a GPU can show: `make test-gpu` runs it, and all of tests/kernels, on one.

Elsewhere `make test` runs the same tests on the CPU, as a rehearsal of their own code: machine.py
says what stands for a GPU there.
"""
