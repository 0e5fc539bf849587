"""From tokens to the batches of a step, and what alters their texts on the way."""
