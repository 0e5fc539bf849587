"""Sources of examples: TensorFlow Datasets, the built-in sample, files."""
