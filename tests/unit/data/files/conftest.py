"""Files of a user, small and made on the spot."""

from __future__ import annotations

import gzip

import pytest

from kerasft.data.files.source import FileSource


@pytest.fixture
def write(tmp_path):
    """Writes a file; gzipped if its name says so. Returns its path as text."""

    def put(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return put


@pytest.fixture
def open_source(write):
    """Opens a source over one training file of the given content."""

    def build(content: str | bytes, name: str = "train.csv", **options) -> FileSource:
        return FileSource(train_files=[write(name, content)], **options)

    return build
