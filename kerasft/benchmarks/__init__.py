"""Public benchmarks, run as their papers report them."""
