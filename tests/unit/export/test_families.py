"""Every family is exported, as it is and in fewer bits, and answers as it did."""

from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kerasft.export.quantization import compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.tiny_random import load_vocabulary
from kerasft.tasks.classification import Classification
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FineTuner

TEXTS = ["A quiet, moving film.", "", "bad plot " * 40]
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}


def build_backbone(name, dtype):
    keras.utils.set_random_seed(1)
    size = len(load_vocabulary())
    own = {"vocab_size": size, "embedding_dim": 8} if name == "Electra" else {}
    own = own or {"vocabulary_size": size}
    return getattr(keras_hub.models, f"{name}Backbone")(**SIZES, **own, dtype=dtype)


@pytest.mark.parametrize("name", ["DistilBert", "Electra"])
@pytest.mark.parametrize(
    ("method", "atol"),
    [
        pytest.param(None, 1e-5, marks=pytest.mark.slow),
        ("int8", 1e-5),
        pytest.param("bfloat16", 0.1, marks=pytest.mark.slow),
    ],
)
def test_the_export_computes_what_the_model_does(tmp_path, name, method, atol):
    encoder = Encoder(build_backbone(name, dtype_policy_of(method)))
    task = Classification(("neg", "pos"))
    head = task.build_head(hidden_dim=16, dropout=0.0, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    model = FineTuner(encoder, head)
    preprocessor = WordPiecePreprocessor(load_vocabulary(), sequence_length=32)
    compressed = () if method is None else compress_weights(model, method)
    after = model(preprocessor(TEXTS)).numpy()
    version = export_saved_model(
        model,
        task=task,
        preprocessor=preprocessor,
        folder=tmp_path / "model",
        metadata={},
        options=ExportOptions(verify=False, compressed=compressed),
    )
    loaded = tf.saved_model.load(str(version))
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))["logits"]
    np.testing.assert_allclose(answer, after, atol=atol)
    assert np.ptp(after) > 10 * atol
