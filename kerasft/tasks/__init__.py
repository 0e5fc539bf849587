"""Tasks: how text becomes tokens, what is learnt, and how logits become answers."""
