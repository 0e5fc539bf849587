"""The model of a run, built from its recipe."""
