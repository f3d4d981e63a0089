"""What the command line sets; the options are in `conftest.py`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How much is timed, and where the results go."""

    rounds: int
    loop_rounds: int
    cold_mib: int
    json: Path
    assert_targets: bool
