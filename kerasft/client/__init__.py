"""Asks a TensorFlow Serving server, over REST or gRPC, what `kerasft.load` asks a model here."""

from kerasft.client.client import Client
from kerasft.client.credentials import Tls

__all__ = ["Client", "Tls"]
