"""Pretrained encoders and their heads."""
