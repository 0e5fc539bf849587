"""The embedded server: TensorFlow Serving's API for development and tests.

Messages and codes follow the sources of tensorflow/serving, so that a client works with both.
`docs/embedded-server.md` lists the differences.
"""
