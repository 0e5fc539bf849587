"""Tasks: what is learnt from labels of one kind, and how logits become answers."""
