"""Benchmarks on a GPU: `make bench-gpu`, or `python -m benchmarks.gpu --help`.

Every number is of cold caches: a CUDA graph calls an op on one set of tensors after the other,
until every byte is long out of the L2 cache when its turn comes again, and each call keeps outputs
of its own. Contestants take turns in a new order every round; medians are of the rounds. GB/s
counts the map tensors of the op's traffic budget; the copy is `Tensor.copy_` in the same kind of
graph. What disagrees with the oracle or with the reference is not timed (`benchmarks/lock.py`).

`--device cpu` goes through the same steps without a GPU, so that a test can.
"""
