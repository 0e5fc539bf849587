"""How the score grows with the number of training examples."""
