"""Which learning rates are worth trying (Smith 2017)."""
