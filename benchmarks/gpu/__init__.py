"""Benchmarks on a GPU: stage d of `make gpu`, or `python -m benchmarks.gpu --help`.

A row is printed, and added to a file of JSON lines, as soon as it is known; what was predicted or
matters most comes first (`plan.py`), so that a time limit costs the least. Columns:

    host us    of the host to issue a call, while the device has nothing to wait for
    step us    of a call, one after the other, host and device together
    graph us   of the device alone, cold: a CUDA graph calls an op on one set of tensors after the
               other, until every byte is long out of the L2 cache when its turn comes again, and
               each call keeps outputs of its own
    predicted  of `graph us`, in predictions.json

Contestants take turns in a new order every round; medians are of the rounds. GB/s counts the map
tensors of the op's traffic budget in a graph; the copy is `Tensor.copy_` in the same kind of graph.
What disagrees with the oracle or with the reference is not timed (`benchmarks/lock.py`).

`--device cpu` goes through the same steps without a GPU, so that a test can.
"""
