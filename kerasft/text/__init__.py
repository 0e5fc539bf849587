"""From raw text to token ids, in one TensorFlow graph that trains and serves."""

from kerasft.text.wordpiece import WordPiecePreprocessor

__all__ = ["WordPiecePreprocessor"]
