"""The CUDA device code on the CPU: a block's threads as fibres, everything they do watched.

`csrc/cuda/device.h` is the seam. The sources of `csrc/cuda` are compiled by the host compiler
against `device_side.h`; `executor.cpp` runs the threads, `memory.cpp` watches global and shared
memory, `driver.cpp` makes the launchers plain C functions that `calls.py` drives from NumPy.
"""
