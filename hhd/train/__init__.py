"""The recipe, the loss of a step, the checkpoint and the one training loop."""
