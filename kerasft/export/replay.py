"""Replays an export's own requests, in a process without kerasft.

    python -I replay.py VERSION PROBE.json

Loads the SavedModel as any client would, runs its warm-up requests, and predicts the probe's texts.
Prints a JSON object: `records`, `texts`, `largest_difference` of the logits; or `fault`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the ops of the graph
from tensorflow_serving.apis import prediction_log_pb2

_BATCH_SIZE = 32


def request_of(log):
    """Returns the signature and the inputs by name of a warm-up record."""
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    if kind == "predict_log":
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    else:
        examples = request.input.example_list.examples
        inputs = {"inputs": np.array([e.SerializeToString() for e in examples], object)}
    return request.model_spec.signature_name, inputs


def replay(model, path):
    """Runs every warm-up record; returns how many there were."""
    count = 0
    for record in tf.data.TFRecordDataset(str(path)):
        name, inputs = request_of(prediction_log_pb2.PredictionLog.FromString(record.numpy()))
        rows = len(next(iter(inputs.values())))
        outputs = model.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
        for key, output in outputs.items():
            values = output.numpy()
            if len(values) != rows:
                raise ValueError(f"{name} answers {rows} examples with {len(values)} of {key}.")
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"{name} answers warm-up record {count} with {key} not finite.")
        count += 1
    return count


def largest_difference(model, columns, expected):
    """Returns the largest difference between logits and `expected`."""
    answer = model.signatures["serving_default"]
    expected, largest = np.array(expected), 0.0
    for start in range(0, len(expected), _BATCH_SIZE):
        rows = slice(start, start + _BATCH_SIZE)
        batch = {k: tf.constant([bytes.fromhex(t) for t in v[rows]]) for k, v in columns.items()}
        logits = answer(**batch)["logits"].numpy()
        largest = max(largest, float(np.abs(logits - expected[rows]).max()))
    return largest


def main(version, probe):
    """Prints the result."""
    questions = json.loads(Path(probe).read_text())
    try:
        model = tf.saved_model.load(version)
        found = {
            "records": replay(model, Path(version) / "assets.extra/tf_serving_warmup_requests"),
            "texts": len(questions["logits"]),
            "largest_difference": largest_difference(
                model, questions["columns"], questions["logits"]
            ),
        }
        strangers = {"kerasft", "keras_hub"} & set(sys.modules)
        if strangers:
            raise ImportError(f"{', '.join(sorted(strangers))} had to be imported.")
    except Exception as error:
        found = {"fault": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
