"""Faster implementations of KerasHub's computations; optional."""
