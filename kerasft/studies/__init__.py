"""Several runs that answer one question: seeds, learning curves, searches, comparisons."""
