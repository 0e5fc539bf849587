"""Every private part of Keras and TensorFlow that an export uses.

Each function names what it expects; `tests/unit/export/test_private.py` checks it, so that a new
version with other names fails there with a clear message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an audit needs no Keras
    import keras


def list_ops() -> bytes:
    """Expects that TensorFlow can list all ops of this process, as a serialized `OpList`."""
    from tensorflow.python.client import pywrap_tf_session

    return pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())


def read_in_scope(scope: keras.StatelessScope, variable: keras.Variable, value) -> None:
    """Makes a variable read as a value of any type in a scope.

    Expects that a scope keeps its values by the variable's `id`. Its constructor would cast the
    value to the variable's type.
    """
    scope.state_mapping[id(variable)] = value
