"""The embedding projector's files, read back as TensorBoard's own plugin reads them."""

from __future__ import annotations

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig, projector_plugin

from kerasft.training.callbacks.projector import write_projector


def test_points_and_what_is_said_of_them(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    texts = ["one\ttext\nof two lines", "another\r\n", "long " * 100]
    write_projector(tmp_path, vectors, {"text": texts, "label": ["a", "b", "a"]})
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [embedding] = config.embeddings
    read = projector_plugin._read_tensor_tsv_file(str(tmp_path / embedding.tensor_path))
    np.testing.assert_allclose(read, vectors, rtol=1e-5)
    assert np.abs(read[::-1] - vectors).max() > 0.1  # a control: another order
    lines = (tmp_path / embedding.metadata_path).read_text("utf-8").splitlines()
    assert lines[:3] == ["text\tlabel", "one text of two lines\ta", "another\tb"]
    text, label = lines[3].split("\t")
    assert (len(text), text[-1], label) == (300, "…", "a")
    assert len(lines) == 4
