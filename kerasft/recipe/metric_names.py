"""The metrics that a recipe may name: as what counts, and as what chooses the best checkpoint."""

HEADLINES = (
    "accuracy",
    "f1_macro",
    "matthews_correlation",
    "roc_auc",
    "f1_micro",
    "f1_samples",
    "average_precision_macro",
    "subset_accuracy",
    "pearson",
    "spearman",
    "r2",
)
MONITORS = (
    "auto",
    *(f"validation/{name}" for name in HEADLINES),
    "validation/precision_macro",
    "validation/recall_macro",
    "validation/precision_micro",
    "validation/recall_micro",
    "validation/log_loss",
    "validation/expected_calibration_error",
    "validation/hamming_loss",
    "validation/mean_squared_error",
    "validation/mean_absolute_error",
)
