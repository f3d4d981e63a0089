"""What only a GPU can show: `make gpu` runs it there, with all of tests/kernels, in stages.

Elsewhere `make test` runs the same tests on the CPU, as a rehearsal of their own code: machine.py
says what stands for a GPU there. `first_light.py` and what it imports need no package but this one
until a stage's own process starts.
"""
