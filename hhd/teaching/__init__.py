"""Filling a folder with a teacher's targets: what ``hhd teach`` does."""
