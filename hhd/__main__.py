"""``python -m hhd`` is the ``hhd`` command."""

from hhd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
