"""Nsight Compute's counters of the joint loss, and what they are held against.

`python -m gpu.counters BATCH DTYPE BACKEND` is the program that is counted.
"""

import json
import sys

from gpu import tools
from gpu.session import ROOT, Session

PREDICTIONS = ROOT / "benchmarks" / "gpu" / "predictions.json"
KERNELS = "regex:joint_loss|find_scalars|teacher_targets|finish"
METRICS = (
    "gpu__time_duration.sum",
    "sm__inst_executed.sum",
    "sm__inst_executed.avg.per_cycle_active",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__occupancy_limit_registers",
    "launch__waves_per_multiprocessor",
    "smsp__average_warps_issue_stalled_no_instruction_per_issue_active.ratio",
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio",
    "smsp__average_warps_issue_stalled_short_scoreboard_per_issue_active.ratio",
)
CASES = (
    ("64", "float32", "cuda"),
    ("1024", "float32", "cuda"),
    ("1024", "bfloat16", "cuda"),
    ("1024", "float32", "triton"),
)
CALLS = 3
# The last call's three: the first loads modules, and Triton's compiles.
WHICH = ("--launch-skip", "6", "--launch-count", "3")


def collect(session: Session) -> bool | str:
    """Runs ncu on every case; a machine that refuses the counters is a reason, not a failure."""
    program = tools.find("ncu")
    if program is None:
        return "no ncu is here"
    for line in json.loads(PREDICTIONS.read_text())["counters"]:
        session.say(f"predicted: {line}")
    options = ("--clock-control", "none", "--metrics", ",".join(METRICS), "-k", KERNELS, *WHICH)
    right = True
    for case in CASES:
        session.say(f"counters of B={case[0]} {case[1]} {case[2]}")
        log = f"e-{'-'.join(case)}.log"
        command = (sys.executable, "-m", "gpu.counters", *case)
        status = session.run(program, *options, *command, log=log)
        if "ERR_NVGPUCTRPERM" in (session.out / log).read_text():
            return "this machine keeps its counters from its users (ERR_NVGPUCTRPERM)"
        right &= status == 0
        if status is None:
            break
    return right


def main(batch: str, dtype: str, backend: str) -> None:
    import torch

    import hhd_kernels as hk

    joint, size = hk.IntegralHHDLoss(), (int(batch), 17)
    teacher = torch.rand(*size, 64, 48, device="cuda").to(getattr(torch, dtype))
    student = torch.randn_like(teacher)
    coords = 40 * torch.rand(*size, 2, device="cuda")
    weight = torch.ones(size, device="cuda")
    with hk.use_backend(backend):
        for _ in range(CALLS):
            joint.loss_and_grad(student, teacher, coords, weight)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(*sys.argv[1:])
