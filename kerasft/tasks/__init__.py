"""Tasks: the loss, head and metrics of each kind of label, and the decoding of logits."""
