"""Faster ways to compute what KerasHub computes; without them all works, slower."""
