"""What XLA's automatic clustering may take of a graph."""

import tensorflow as tf

from kerasft.models.tiny_random import load_vocabulary
from kerasft.text.uncompiled import not_compiled, uncompiled_graph
from kerasft.text.wordpiece import WordPiecePreprocessor

TEXTS = tf.TensorSpec([None], tf.string)


def left_alone(function, *specs):
    """Whether XLA leaves alone each op of a graph, functions that it calls excepted."""
    nodes = function.get_concrete_function(*specs).graph.as_graph_def().node
    return [
        "_XlaCompile" in node.attr and not node.attr["_XlaCompile"].b
        for node in nodes
        if node.op not in ("Placeholder", "Identity", "NoOp")
    ]


def test_the_whole_tokenizer_is():
    preprocessor = WordPiecePreprocessor(load_vocabulary(), sequence_length=16)
    found = left_alone(preprocessor._tokenize_texts) + left_alone(preprocessor._tokenize_pairs)
    assert len(found) > 200
    assert all(found)


def test_control_elsewhere_nothing_is_said():
    class Both:
        @uncompiled_graph(TEXTS)
        def inside(self, text):
            return tf.strings.length(text) + 1

        @tf.function(input_signature=[TEXTS], autograph=False)
        def outside(self, text):
            with not_compiled():
                length = tf.strings.length(text)
            return length + 1

    assert set(left_alone(Both().inside)) == {True}
    assert set(left_alone(Both().outside)) == {True, False}
