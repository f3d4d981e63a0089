"""Where the CPU kernels' cost jumps: over sizes, numbers of maps, dtypes, layouts, single ops.

    python -m benchmarks.cliffs --json build/cliffs.json      times everything
    python -m benchmarks.cliffs --report build/cliffs.json    plots and tables of that

Every contestant is a process of its own, so that its allocator, its threads and what it compiled
are its own. They take turns, in a new order every round; figures are medians of rounds, of warm
calls. The results of a point's contestants are compared before any of them is timed.
"""
