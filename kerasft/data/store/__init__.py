"""Tokens on disk: written once, read by every run on the same data."""
