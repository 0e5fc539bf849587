"""The roles in a search over several machines, from KerasTuner's environment variables."""

from __future__ import annotations

import os
from typing import NamedTuple

from kerasft.errors import UserError

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


class Service(NamedTuple):
    """KerasTuner's service: this process's `tuner_id`, and the chief's `address` (`host:port`)."""

    tuner_id: str
    address: str

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief: KerasTuner looks for "chief" in its name."""
        return "chief" in self.tuner_id


def read_service() -> Service | None:
    """Returns the service from the environment; `None` if no variable is set.

    Raises `UserError` if only some of KerasTuner's variables are set.
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
