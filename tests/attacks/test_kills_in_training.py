"""A training that is killed at any operation on files goes on, with `resume`, to the weights of one that was not.

A sample: `make kills` tries all.
"""

from . import kills


def test_a_training_that_is_killed_at_any_operation_goes_on_to_the_same_weights(tmp_path):
    whole, operations = kills.whole_training(tmp_path / "whole")
    assert {"write", "replace", "mkstemp"} <= set(operations)
    last_log = len(operations) - 1 - operations[::-1].index("mkstemp")  # its snapshot is there already
    for number in [*range(0, len(operations), 53), last_log]:
        kills.check_resumption(tmp_path / f"{number}", number, whole)


def test_two_workers_one_of_which_is_killed_go_on_to_the_same_weights(tmp_path):
    whole = kills.trained_by_two(tmp_path / "whole")
    kills.check_resumption_by_two(tmp_path / "killed", 200, whole)
