"""The frame of TensorBoard's HParams tab, read back."""

from __future__ import annotations

import tensorflow as tf
from tensorboard.plugins.hparams import metadata

from kerasft.recipe.space import Dimension
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.report import write_board

SPACE = [
    Dimension("training.learning_rate", "log", (1e-5, 1e-3)),
    Dimension("training.batch_size", "range", (8, 64)),
    Dimension("model.dropout", "range", (0.0, 0.2), 0.1),
    Dimension("adapter.matrices", "choices", (("query",), ("query", "key"))),
    Dimension("training.class_weights", "choices", ("balanced", {"neg": 2.0})),
]


def test_settings_and_metrics_have_the_names_that_people_wrote(tmp_path):
    for _ in range(2):  # the second time it stands already
        write_board(RunDir(tmp_path), SPACE, "validation/accuracy")
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    (value,) = (value for event in events for value in event.summary.value)
    experiment = metadata.parse_experiment_plugin_data(value.metadata.plugin_data.content)
    domains = {info.name: info for info in experiment.hparam_infos}
    assert list(domains) == [dimension.name for dimension in SPACE]
    interval = domains["training.learning_rate"].domain_interval
    assert (interval.min_value, interval.max_value) == (1e-5, 1e-3)
    assert list(domains["model.dropout"].domain_discrete) == [0.0, 0.1, 0.2]
    assert list(domains["adapter.matrices"].domain_discrete) == ["query", "query, key"]
    assert list(domains["training.class_weights"].domain_discrete) == ["balanced", "{'neg': 2.0}"]
    assert [info.name.tag for info in experiment.metric_infos] == ["validation/accuracy"]
