"""Prints the tables `new_ops` and `new_attributes` of kerasft/export/server_ops.json.

    python tests/serving/loader/list_new_ops.py tensorflow_cpu-2.12.1-*.whl tensorflow_cpu-2.13...

Takes TensorFlow's wheels, one of each minor version (`pip download --no-deps
tensorflow-cpu==2.12.1`), the oldest first. Each is unpacked and asked for its ops by a process of
its own, through the C API.
"""

import ctypes
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")  # in the order to be loaded


class Buffer(ctypes.Structure):
    """`TF_Buffer` of the C API."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


def print_ops(folder):
    """Writes the op list of the libraries in a folder to stdout."""
    for name in LIBRARIES:
        library = ctypes.CDLL(str(folder / "tensorflow" / name), ctypes.RTLD_GLOBAL)
    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    sys.stdout.buffer.write(ctypes.string_at(buffer.data, buffer.length))


def read_ops(wheel):
    """Returns the public ops of a wheel: the names of each one's attributes, by its name."""
    from tensorflow.core.framework import op_def_pb2  # not in a process that loads another one

    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder, [f"tensorflow/{name}" for name in LIBRARIES])
        command = [sys.executable, __file__, "--folder", folder]
        listed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    ops = op_def_pb2.OpList.FromString(listed).op
    return {op.name: {attr.name for attr in op.attr} for op in ops if not op.name.startswith("_")}


def main(wheels):
    tables = {"new_ops": {}, "new_attributes": {}}
    before = read_ops(wheels[0])
    for wheel in wheels[1:]:
        server, ops = Path(wheel).name.split("-")[1], read_ops(wheel)
        both = ops.keys() & before.keys()
        found = {
            "new_ops": ops.keys() - before.keys(),
            "new_attributes": {f"{op}.{a}" for op in both for a in ops[op] - before[op]},
        }
        for name, names in found.items():
            if names:
                tables[name][server] = sorted(names)
        before = ops
    print(json.dumps(tables, indent=2))


if __name__ == "__main__":
    if sys.argv[1] == "--folder":
        print_ops(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
