"""Runs on a tiny network: drawing would take longer than all else."""

import pytest

from branchynet.plots import style


@pytest.fixture
def drawn():
    """Asks for figures that are drawn."""


@pytest.fixture(autouse=True)
def figures_are_empty_files(request, monkeypatch):
    """Figures are written as empty files, but where a test asks for `drawn`; tests/plots looks at what they show."""

    def touch(figure, *paths):
        for path in paths:
            path.write_bytes(b"")

    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(style, "save", touch)
