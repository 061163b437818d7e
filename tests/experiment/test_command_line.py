"""What the options of an experiment's script become, without a run."""

import pytest
from tiny_experiment import EXPERIMENT, ROOT

from branchynet.experiment.command_line import parse_request


@pytest.mark.parametrize(
    "argv",
    [
        ["--presett", "quick"],
        ["--preset", "slow"],
        ["--dataset", "svhn"],
        ["--seed", "-1"],
        ["--batch-size", "x"],
        ["--thresholds", "inf"],
        ["--choose", "fastest"],
        ["--weighting", "none"],
        ["--loss-weights", "nan"],
        ["--average", "1"],
        ["--choose", "knee", "--thresholds", "0.5", "0.5"],
    ],
)
def test_an_option_that_makes_no_sense_ends_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as exit_info:
        parse_request(EXPERIMENT, argv)
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_results_of_other_settings_go_to_another_folder():
    folders = {
        parse_request(EXPERIMENT, argv).out.name
        for argv in (
            [],
            ["--seed", "1"],
            ["--dataset", "fashion-mnist"],
            ["--epochs-plain", "2"],
            ["--batch-size", "8"],
        )
    }
    assert "tiny-standard-seed0" in folders and len(folders) == 5


def test_the_recorded_command_names_no_folder_of_the_machine():
    request = parse_request(EXPERIMENT, ["--out", "/home/me/x", "--data-dir=/data", "--seed", "1"])
    assert request.command == "experiments/tiny.py --seed 1"
    assert not {"out", "data_dir"} & set(request.recorded)


def test_a_run_on_another_plain_network_has_a_folder_of_its_own():
    folders = ([], ["--plain-from", "a"], ["--plain-from", "x/b/"])
    names = [parse_request(EXPERIMENT, argv).out.name for argv in folders]
    assert names == ["tiny-standard-seed0", "tiny-standard-on-a-seed0", "tiny-standard-on-b-seed0"]


@pytest.mark.parametrize("other", [["--weights", "b"], ["--epochs-plain", "3"]])
def test_a_plain_network_that_is_taken_leaves_nothing_to_say_of_step_1(capsys, other):
    with pytest.raises(SystemExit):
        parse_request(EXPERIMENT, ["--plain-from", "a", *other])
    assert "give one of them" in capsys.readouterr().err


def test_released_weights_have_a_folder_for_each_variant():
    parsed = parse_request(EXPERIMENT, ["--weights", "released"])
    assert parsed.weights == ROOT / "experiments" / "results" / "released" / "tiny"
    assert parsed.out.name == "tiny-again" and parsed.command == "experiments/tiny.py --weights released"
    assert parsed.recorded["weights"] == "released"
