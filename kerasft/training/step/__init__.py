"""One training step: gradients summed, divided, clipped, applied."""
