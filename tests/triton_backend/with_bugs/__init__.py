"""Tests of Triton kernels with bugs, in a process of their own: see test_planted_bugs.py."""
