"""Which examples train, validate and test, and which of them make up which step."""
