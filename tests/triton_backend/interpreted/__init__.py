"""Tests of the Triton kernels in the interpreter's process; test_interpreter.py starts it."""
