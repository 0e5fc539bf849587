"""Studies of several runs: seeds, learning curves, searches, comparisons."""
