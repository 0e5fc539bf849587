"""From weights to figures: logits, metrics, report and pictures."""
