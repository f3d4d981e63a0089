"""Benchmarks of `hhd_kernels`: `make bench`, or `pytest benchmarks/`.

    pytest benchmarks/ -k joint          the joint loss and its gradient against its contestants
    pytest benchmarks/ -k "joint and kl-64x48"
    pytest benchmarks/ -k ops            one table row per op: time, GB/s, share of a copy
    pytest benchmarks/ -k recompute      saving the gradient against recomputing it in backward

Options, all defined in `conftest.py`:

    --bench-rounds N        rounds of every interleaved run and of every op (default 10)
    --bench-loop-rounds N   rounds in which the looped contestants take part (default 2)
    --bench-cold-mb N       MiB of distinct inputs that cold calls rotate over (default 512)
    --bench-json PATH       results, environment and commit (default build/benchmarks.json)
    --assert-targets        fail where a speed target is missed; they are meant for 2 cores

OMP_NUM_THREADS sets the threads of every contestant, the copy included. Nothing is timed before
the op's results, in this session, were those of the oracle and of the reference (`lock.py`).
"""
