"""Predictions from an exported SavedModel, without the code that created it."""
