"""From step to step: when to evaluate, save, stop and go back."""
