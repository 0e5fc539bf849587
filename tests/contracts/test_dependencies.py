"""Every dependency has an upper bound, and the locked versions are within the bounds."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


def requirements_of(*groups):
    return [Requirement(line) for group in groups for line in group]


@pytest.fixture(scope="module")
def installed(project):
    groups = project["dependency-groups"].values()
    return requirements_of(project["project"]["dependencies"], *groups)


def without_upper_bound(requirements):
    return [
        each.name
        for each in requirements
        if not any(part.operator in ("<", "<=", "==") for part in each.specifier)
    ]


def test_every_dependency_has_an_upper_bound(project, installed):
    extras = project["project"]["optional-dependencies"].values()
    others = requirements_of(project["build-system"]["requires"], *extras)
    assert len(installed) > 30
    assert without_upper_bound([*installed, *others]) == []


def test_control_a_dependency_without_one_is_found():
    assert without_upper_bound([Requirement("a>=1,<2"), Requirement("b>=1")]) == ["b"]


def test_the_locked_versions_are_within_the_bounds(repository, installed):
    locked = {}  # some have a version for each Python
    for name, version in LOCKED.findall((repository / "requirements.lock").read_text()):
        locked.setdefault(canonicalize_name(name), []).append(version)
    found = {str(each): locked.get(canonicalize_name(each.name), []) for each in installed}
    outside = {
        line: versions
        for line, versions in found.items()
        if not versions or not all(map(Requirement(line).specifier.contains, versions))
    }
    assert outside == {}
