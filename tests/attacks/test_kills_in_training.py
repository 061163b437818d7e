"""A training that is killed at any operation on files goes on, with `resume`, to the weights of one that was not."""

import os

import pytest
from training.runs import assert_same_run, both, trained

from .kills import Killed, killed_at

# Every n-th operation: all of them take minutes.
STEP = int(os.environ.get("BRANCHYNET_KILL_STEP", 61))


@pytest.mark.parametrize("before", [False, True])
def test_a_training_that_is_killed_at_any_operation_goes_on_to_the_same_weights(tmp_path, monkeypatch, before):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    with killed_at(monkeypatch, None) as done:
        whole = trained(both, tmp_path / "whole")
    assert {"write", "replace", "mkstemp"} <= set(done)
    for number in range(1 + 3 * before, len(done) + 1, STEP):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        with pytest.raises(Killed), killed_at(monkeypatch, number, before):
            trained(both, folder)
        assert_same_run(trained(both, folder, resume=True), whole)
