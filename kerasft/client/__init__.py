"""Predicts with a TensorFlow Serving server over REST or gRPC, as `kerasft.load` does locally."""

from kerasft.client.client import Client
from kerasft.client.credentials import Tls

__all__ = ["Client", "Tls"]
