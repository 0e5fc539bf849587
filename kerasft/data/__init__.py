"""From a named dataset to padded batches: sources, splits, token store, batch plan, batches."""
