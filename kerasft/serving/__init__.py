"""Answers from an exported SavedModel, without the code that made it."""
