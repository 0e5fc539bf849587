"""Evaluation metrics: what the classifier gets right, how sure it is, and how sure we can be.

- `classification`: accuracy, precision, recall, F1, Matthews correlation, ROC-AUC, log loss,
  confusion matrix.
- `multilabel`: F1 of several labels to a text, average precision, and the thresholds that decide.
- `regression`: Pearson and Spearman correlation, squared and absolute error, R2.
- `calibration`: expected calibration error and the reliability bins behind it.
- `intervals`: percentile intervals around any of these metrics, by `bootstrap` and `weighted`.
- `paired`: tests of two models on the same examples, with the metrics of `by_example`.
- `facts`: all that was measured on a split, as reports get it.
- `checks`: what the others demand of their input.

Nothing is re-exported: most of them import scikit-learn, which takes a second.
"""
