"""Callbacks of a training: terminal progress, TensorBoard, history.csv and others."""
