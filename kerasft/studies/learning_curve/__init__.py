"""How a metric grows with the number of training examples."""
