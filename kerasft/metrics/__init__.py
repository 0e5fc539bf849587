"""Evaluation metrics: what the classifier gets right, how sure it is, and how sure we can be.

- `classification`: accuracy, precision, recall, F1, ROC-AUC, log loss, confusion matrix.
- `calibration`: expected calibration error and the reliability bins behind it.
- `bootstrap`: percentile intervals around a metric.
- `checks`: what the three above demand of their input.

Nothing is re-exported: `classification` imports scikit-learn, which takes a second.
"""
