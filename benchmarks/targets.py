"""The speed targets of the joint loss on 2 cores, checked only with --assert-targets."""

from benchmarks.report import Row

SIZE = "64x48"
AT_LEAST = {"x loop": 500.0, "x eager": 12.0, "x compile": 6.0, "copy share": 0.5}
BFLOAT16_OVER_FLOAT32 = {"warm": 1.1, "cold": 0.75}
CHANNELS_LAST_OVER_NCHW = 2.0


def missed_targets(rows: list[Row]) -> list[str]:
    """One sentence per target that these rows, all of one preset and size, miss."""
    by_variant = {(row["state"], row["dtype"], row["layout"]): row for row in rows}
    if rows[0]["size"] != SIZE:
        return []
    missed = []

    row = by_variant["warm", "float32", "NCHW"]
    for name, least in AT_LEAST.items():
        if row[name] < least:
            missed.append(f"{name} is {row[name]:.3g}, the target is at least {least:g}")

    def check(what: str, ratio: float, most: float) -> None:
        if ratio > most:
            missed.append(f"{what} takes {ratio:.2f} times as long, the target is {most:g}")

    for state, most in BFLOAT16_OVER_FLOAT32.items():
        half, single = (by_variant[state, dtype, "NCHW"] for dtype in ("bfloat16", "float32"))
        check(f"bfloat16, {state}, against float32,", half["fused ms"] / single["fused ms"], most)
    for dtype in ("float32", "bfloat16"):
        last, first = (by_variant["warm", dtype, layout] for layout in ("channels_last", "NCHW"))
        ratio = last["fused ms"] / first["fused ms"]
        check(f"channels_last {dtype} against NCHW", ratio, CHANNELS_LAST_OVER_NCHW)
    return missed
