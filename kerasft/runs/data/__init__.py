"""The data of a run, made out of its recipe."""
