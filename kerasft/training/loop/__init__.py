"""The training loop: when to evaluate, save, stop and go back."""
