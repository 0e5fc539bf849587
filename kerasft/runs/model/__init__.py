"""The model of a run, made out of its recipe."""
