"""What files hold when they are first read: what is read later must still be that."""

from __future__ import annotations

from pathlib import Path

from kerasft.data.files.table import Table
from kerasft.errors import UserError, changed_while_read


class Contents:
    """The contents of a split's files, to notice a change while they are read again and again.

    Args:
        table: The files, read here for the first time.
        split: The split that they are, for messages.

    Attributes:
        digest: The sha256 of the contents.
    """

    def __init__(self, table: Table, split: str):
        self._table, self._split = table, split
        self._stamps = self._read_stamps()
        self.digest = table.digest()

    def check_untouched(self) -> None:
        """Refuses local files that have been written to or replaced, even by the same content.

        A file that is changed and restored between two looks at its content is noticed, too.

        Raises:
            UserError: They have, or are gone.
        """
        if self._read_stamps() != self._stamps:
            raise changed_while_read(", ".join(map(str, self._table.files)), self._split)

    def check_unchanged(self) -> None:
        """Refuses files that have been touched, or whose content differs.

        Raises:
            UserError: They have, or are gone.
        """
        self.check_untouched()
        if self._table.digest() != self.digest:  # of remote files all that is known
            raise changed_while_read(", ".join(map(str, self._table.files)), self._split)

    def _read_stamps(self) -> list[tuple[int, ...]]:
        """Returns what the file system changes with each write or rename, of each local file."""
        paths = [path for path in self._table.contents() if isinstance(path, Path)]
        return [_stamp(path) for path in paths]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
