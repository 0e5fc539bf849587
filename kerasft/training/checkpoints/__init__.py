"""Checkpoints, initial weights and adapter files."""
