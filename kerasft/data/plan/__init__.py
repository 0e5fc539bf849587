"""Assigns examples to splits, and to the batch of each step."""
