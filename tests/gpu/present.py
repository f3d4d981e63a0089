"""Whether there is a GPU to test on."""

import torch


def why_not() -> str | None:
    """Why nothing can run on a GPU here; None where it can."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"no GPU: torch {torch.__version__} is built without CUDA"
    return f"no GPU: torch {torch.__version__} sees none"
