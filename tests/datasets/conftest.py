"""What the tests of data sets share: a tiny data set, a source of it, and a home that holds no other."""

import pytest

from branchynet.datasets import cache, loading

from . import tiny


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    """No test sees, or writes to, the data sets of whoever runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv(cache.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(loading.chainer_dataset, "get_dataset_root", lambda: str(tmp_path / "other library"))
    monkeypatch.setattr(loading, "_SYSTEM_FOLDER", tmp_path / "system")


@pytest.fixture
def arrays():
    return tiny.make_arrays()


@pytest.fixture
def works(arrays, tmp_path):
    return tiny.Works(arrays, tmp_path / "calls")
