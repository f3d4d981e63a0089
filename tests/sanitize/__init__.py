"""The kernels under AddressSanitizer and UBSan, without torch and, once, with it.

The sanitised library is driven from a process of its own (`sweep.py`), whose arrays lie in memory
of exactly their size. `test_*.py` build it, start that process and read its verdict.
"""
