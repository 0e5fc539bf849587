"""Export of a SavedModel that takes raw text and returns labels."""
