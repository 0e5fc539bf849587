"""All that an export reads of Keras and TensorFlow and that is private to them.

Each function says what it expects. `tests/unit/export/test_private.py` checks it, so that a new
version which names a part otherwise fails there, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an audit does without
    import keras


def list_ops() -> bytes:
    """Expects that TensorFlow can list all ops of this process, as a serialized `OpList`."""
    from tensorflow.python.client import pywrap_tf_session

    return pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())


def read_in_scope(scope: keras.StatelessScope, variable: keras.Variable, value) -> None:
    """Has a variable read as a value in a scope, whatever type the value has.

    Expects that a scope keeps its values by the `id` of the variable. Given to the constructor, a
    value would be cast to the variable's type.
    """
    scope.state_mapping[id(variable)] = value
