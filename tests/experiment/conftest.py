"""Runs on a tiny network and data set."""

import shutil

import pytest
from tiny_experiment import finished_run, in_a_tiny_world


@pytest.fixture
def drawn():
    """Asks for figures and reports that are drawn."""


@pytest.fixture(autouse=True)
def tiny_world(request, monkeypatch):
    """A tiny data set in place of the real ones; figures are drawn only where a test asks for `drawn`."""
    in_a_tiny_world(monkeypatch, "drawn" in request.fixturenames)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run of seed 4 that has come to its end; nobody writes into it."""
    return finished_run(tmp_path_factory.mktemp("finished") / "first")


@pytest.fixture
def first(finished, tmp_path):
    """A copy of that folder, named "first"."""
    return shutil.copytree(finished, tmp_path / "first")
