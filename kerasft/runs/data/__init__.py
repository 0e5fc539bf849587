"""The data of a run, built from its recipe."""
