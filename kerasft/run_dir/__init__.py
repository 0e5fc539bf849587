"""The run directory: its files, written atomically, its lock and the environment record."""

from kerasft.run_dir.environment import describe_environment, installed_version
from kerasft.run_dir.files import (
    check_disk_space,
    telling_os_errors,
    to_json,
    write_atomically,
)
from kerasft.run_dir.folder import (
    RunDir,
    create_run_dir,
    find_folders,
    latest_run_dir,
    open_run_dir,
)

__all__ = [
    "RunDir",
    "check_disk_space",
    "create_run_dir",
    "describe_environment",
    "find_folders",
    "installed_version",
    "latest_run_dir",
    "open_run_dir",
    "telling_os_errors",
    "to_json",
    "write_atomically",
]
