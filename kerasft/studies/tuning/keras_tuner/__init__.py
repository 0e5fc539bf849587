"""What a search takes from KerasTuner, and what it keeps of its trials."""
