"""Writes the models that the contract tests ask: tiny, made by hand.

    python tests/serving/make_models.py FOLDER

To run the same tests against TensorFlow Serving itself, serve such a folder with it and name its
addresses, REST first:

    kerasft serve FOLDER
    KERASFT_TF_SERVING=127.0.0.1:8501,127.0.0.1:8500 python -m pytest tests/serving/test_contract_*
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

BATCHING = """max_batch_size { value: 64 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
allowed_batch_sizes: [1, 64]
"""
FLOAT = tf.float32


class Demo(tf.Module):
    """Answers with the length of a text; `offset` tells versions apart."""

    def __init__(self, offset: float):
        self.offset = tf.Variable(float(offset))
        self.names = tf.Variable(["short", "long"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def answer(self, text):
        """Text in, label out."""
        length = tf.cast(tf.strings.length(text), FLOAT)
        probabilities = tf.stack([1 / (1 + length), length / (1 + length)], axis=1)
        label = tf.gather(self.names, tf.argmax(probabilities, axis=1))
        return {"label": label, "length": length + self.offset, "probabilities": probabilities}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        """Examples in, labels and scores out."""
        scores = self.answer(_texts(inputs))["probabilities"]
        return {"classes": tf.tile(self.names[tf.newaxis], [tf.size(inputs), 1]), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        """Examples in, numbers out."""
        return {"outputs": self.answer(_texts(inputs))["length"]}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], FLOAT, name="x")])
    def double(self, x):
        """One output, of numbers."""
        return {"y": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="x")])
    def inverse(self, x):
        """0 becomes infinite, NaN stays."""
        return {"y": 1 / x}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.int64, name="number"),
        ]
    )
    def several(self, text, number):
        """Two inputs; one output by name is bytes."""
        return {"reversed_bytes": tf.strings.join([text, b"\xff"]), "next": number + 1}

    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="seconds")])
    def slow(self, seconds):
        """Takes its time."""
        start = tf.timestamp()
        end = start + tf.cast(tf.reduce_max(seconds), tf.float64)
        now = tf.while_loop(lambda now: now < end, lambda now: [tf.timestamp()], [start])[0]
        return {"waited": tf.ones_like(seconds) * tf.cast(now - start, FLOAT)}


def _texts(serialized):
    feature = tf.io.FixedLenFeature([], tf.string)
    return tf.io.parse_example(serialized, {"text": feature})["text"]


def save_demo(folder: Path, offset: float = 0.0, *, warmup: bool = True) -> None:
    """Writes a version of the model that tests ask."""
    demo = Demo(offset)
    signatures = {
        name: getattr(demo, name).get_concrete_function()
        for name in ("classify", "regress", "double", "inverse", "several", "slow")
    }
    signatures["serving_default"] = demo.answer.get_concrete_function()
    tf.saved_model.save(demo, str(folder), signatures=signatures)
    (folder / "batching_params.pbtxt").write_text(BATCHING)
    if warmup:
        write_warmup(folder, [warmup_record("a text")])


def warmup_record(text: str, input_name: str = "text", signature_name: str = "") -> bytes:
    """Returns a warm-up record of one text."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature_name
    request.inputs[input_name].CopyFrom(tf.make_tensor_proto([text]))
    return log.SerializeToString()


def write_warmup(folder: Path, records: list[bytes]) -> None:
    """Writes a version's warm-up records."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


if __name__ == "__main__":
    save_demo(Path(sys.argv[1]) / "demo" / "1")
