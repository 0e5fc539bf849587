"""The embedded server: speaks as TensorFlow Serving does, for trying and for tests.

Messages and codes follow the sources of tensorflow/serving, so that a program that was written
against this server finds the real one no different. `docs/embedded-server.md` lists what differs.
"""
