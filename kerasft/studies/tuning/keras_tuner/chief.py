"""Who leads a search over several machines: told by KerasTuner's own variables."""

from __future__ import annotations

import os
from typing import NamedTuple

from kerasft.errors import UserError

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


class Service(NamedTuple):
    """KerasTuner's service, over which several machines search together.

    Attributes:
        tuner_id: This process's name.
        address: `host:port` of the chief.
    """

    tuner_id: str
    address: str

    @property
    def is_chief(self) -> bool:
        """Whether this process leads the search: KerasTuner looks for the word in its name."""
        return "chief" in self.tuner_id


def read_service() -> Service | None:
    """Returns what the environment says of the service; `None`: nothing.

    Raises:
        UserError: Some of KerasTuner's variables are set, and some are not.
    """
    given = [name for name in VARIABLES if os.environ.get(name)]
    if given and len(given) < len(VARIABLES):
        raise UserError(
            "KerasTuner's service is named in part.",
            received=", ".join(given),
            expected=f"{', '.join(VARIABLES)}, or none of them",
        )
    if not given:
        return None
    tuner_id, host, port = (os.environ[name] for name in VARIABLES)
    return Service(tuner_id, f"{host}:{port}")
