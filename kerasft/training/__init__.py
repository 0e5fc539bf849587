"""Training: the train step, the loop around it, callbacks and checkpoints."""
