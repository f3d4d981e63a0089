"""`python tests/gpu/present.py`: one line and exit code 1 where there is no GPU to test on."""

import torch


def why_not() -> str | None:
    """Why nothing can run on a GPU here; None where it can."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"no GPU: torch {torch.__version__} is built without CUDA"
    return f"no GPU: torch {torch.__version__} sees none"


if __name__ == "__main__" and (reason := why_not()):
    print(f"skipped, {reason}")
    raise SystemExit(1)
