"""The graph that goes into the SavedModel: which ops it holds, and that it stands alone."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from kerasft.text.wordpiece import WordPiecePreprocessor
from tests.conftest import op_names

# All that the graph may hold: TF core, and one op of TF-Text that every stock server has had
# since 2.12. An op that is not here must be looked up there before it is added.
ALLOWED_OPS = {
    "FastWordpieceTokenizeWithOffsets",
    "StringJoin", "StringLength", "Substr",
    "StaticRegexFullMatch", "StaticRegexReplace", "StringLower", "UnicodeDecode", "UnicodeEncode",
    "RaggedGather", "RaggedRange", "RaggedTensorToTensor",
    "AddV2", "Cumsum", "FloorDiv", "FloorMod", "Maximum", "Minimum", "Mul", "Sub",
    "All", "Any", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalOr", "Max",
    "Prod",
    "BroadcastTo", "Cast", "ConcatV2", "ExpandDims", "Fill", "GatherV2", "OnesLike", "Pack",
    "Range", "Reshape", "SelectV2", "Shape", "Size", "Squeeze", "StridedSlice",
    "Tile", "Transpose", "Where", "ZerosLike",
    "Assert", "Const", "Identity", "If", "NoOp", "Placeholder", "StatelessIf",
    "PartitionedCall", "StatefulPartitionedCall",
}  # fmt: skip
TEXTS = tf.TensorSpec([None], tf.string)

LOAD_AND_CALL = """
import json, sys
import tensorflow as tf
import tensorflow_text
inputs = json.loads(sys.stdin.read())
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
outputs = serve(text=tf.constant(inputs["text"]), text_pair=tf.constant(inputs["text_pair"]))
assert not any(name.split(".")[0] in ("kerasft", "keras_hub") for name in sys.modules)
print(json.dumps({name: tensor.numpy().tolist() for name, tensor in outputs.items()}))
"""


@pytest.fixture(scope="module")
def preprocess(vocabulary):
    return WordPiecePreprocessor(vocabulary, sequence_length=16)


@pytest.mark.parametrize(
    ("specs", "truncation"),
    [([TEXTS], "head_tail"), ([TEXTS, TEXTS], "head_tail"), ([TEXTS], "windows")],
    ids=["single", "pair", "windows"],
)
def test_graph_holds_allowed_ops_only(vocabulary, specs, truncation):
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=16, truncation=truncation)
    names = op_names(tf.function(preprocess).get_concrete_function(*specs))
    assert "FastWordpieceTokenizeWithOffsets" in names  # the walk reaches inner functions
    assert names - ALLOWED_OPS == set()


def test_the_walk_catches_a_round_robin_trimmer(preprocess):
    @tf.function(input_signature=[TEXTS, TEXTS])
    def trimmed(text, text_pair):
        rows = [preprocess.tokenize(text)[0], preprocess.tokenize(text_pair)[0]]
        return tf_text.RoundRobinTrimmer(8).trim(rows)

    names = op_names(trimmed.get_concrete_function())
    assert {name for name in names - ALLOWED_OPS if name.startswith("TFText>RoundRobin")}


def test_saved_model_works_where_only_tensorflow_and_tensorflow_text_are(preprocess, tmp_path):
    module = tf.Module()
    module.preprocess = preprocess
    module.serve = tf.function(preprocess).get_concrete_function(
        tf.TensorSpec([None], tf.string, name="text"),
        tf.TensorSpec([None], tf.string, name="text_pair"),
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    inputs = {"text": ["A quiet film.", "Café…", ""], "text_pair": ["the plot " * 20, "中文", ""]}
    answer = subprocess.run(
        [sys.executable, "-c", LOAD_AND_CALL, str(tmp_path)],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = preprocess(inputs["text"], inputs["text_pair"])
    assert json.loads(answer.stdout) == {
        name: tensor.numpy().tolist() for name, tensor in expected.items()
    }
