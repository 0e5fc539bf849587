"""A look over labelled text before training: what is there, what is wrong with it, what to do."""

from kerasft.data.inspection.inspection import Inspection, inspect_source, length_preprocessor

__all__ = ["Inspection", "inspect_source", "length_preprocessor"]
