"""Inspects labelled text before training: its contents, its problems and their fixes."""

from kerasft.data.inspection.inspection import Inspection, inspect_source, length_preprocessor

__all__ = ["Inspection", "inspect_source", "length_preprocessor"]
