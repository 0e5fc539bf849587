"""Evaluation: logits, metrics, report and plots."""
