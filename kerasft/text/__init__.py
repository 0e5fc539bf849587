"""From raw text to token ids, in one TensorFlow graph that trains and serves."""
