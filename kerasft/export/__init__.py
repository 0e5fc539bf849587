"""What leaves the house: the SavedModel that takes raw text and answers with labels."""
