"""The parts of a search that use KerasTuner, and the journal of trials."""
