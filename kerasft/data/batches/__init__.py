"""From tokens to the batches of a step, and the augmentation of their texts."""
