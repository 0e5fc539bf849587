"""Where examples come from: TensorFlow Datasets, the built-in sample, files."""
