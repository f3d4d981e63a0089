"""One HTML page of one or several runs: curves, tables, pictures. It loads nothing else."""
