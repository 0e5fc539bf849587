"""Evaluation metrics: quality, calibration, intervals and tests.

- `classification`, `multilabel`, `regression`: the metrics of each task; `multilabel` also tunes
  thresholds.
- `calibration`: expected calibration error and its reliability bins.
- `weighted`: each of these metrics for weighted examples, for resampling.
- `bootstrap`: percentile intervals; `paired`: tests of two models on the same examples.
- `facts`: everything measured on a split, for reports; `checks`: input validation.

Names, units and directions of metrics are in `kerasft.metric`, which every module may import.
Nothing is re-exported: most of them import scikit-learn, which takes a second.
"""
