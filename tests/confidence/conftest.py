"""What the tests of measures share."""

import pytest
from tiny import tiny_measure

from branchynet.confidence import MEASURES


@pytest.fixture(scope="package")
def measures():
    """Every registered measure, ready for use on three exits."""
    return {name: tiny_measure(name) for name in MEASURES.names()}
