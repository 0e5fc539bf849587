"""Evaluation metrics: what the classifier gets right, how sure it is, and how sure we can be.

- `classification`: accuracy, precision, recall, F1, Matthews correlation, ROC-AUC, log loss,
  confusion matrix.
- `multilabel`: F1 of several labels to a text, average precision, and the thresholds that decide.
- `regression`: Pearson and Spearman correlation, squared and absolute error, R2.
- `calibration`: expected calibration error and the reliability bins behind it.
- `weighted`: each of these metrics of examples with weights, which is what is resampled.
- `bootstrap`: percentile intervals around them.
- `paired`: tests of two models on the same examples.
- `facts`: all that was measured on a split, as reports get it.
- `checks`: what the others demand of their input.

Names, units and directions of metrics are in `kerasft.metric`, which everything may import.
Nothing is re-exported: most of them import scikit-learn, which takes a second.
"""
