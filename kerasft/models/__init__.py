"""Pretrained encoders and the heads that go on them."""
