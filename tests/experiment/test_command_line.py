"""What the options of an experiment's script become, without a run."""

import re

import pytest
from tiny_experiment import EXPERIMENT, ROOT

from branchynet.experiment.command_line import parse_request


@pytest.mark.parametrize(
    "argv",
    [
        ["--presett", "quick"],
        ["--preset", "slow"],
        ["--dataset", "svhn"],
        ["--choose", "fastest"],
        ["--weighting", "none"],
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


@pytest.mark.parametrize(
    ("taken", "other"),
    [
        ("--plain-from", "--epochs-plain 3"),
        *[("--weights", f"--epochs-{step} 3") for step in ("plain", "joint")],
        *[("--weights", f"--{option}") for option in ("plain-from b", "preset standard", "batch-size 32")],
        *[("--weights", f"--{option}") for option in ("weighting confidence", "loss-weights 1 1 1", "average=0")],
        ("--weights", "--freeze-trunk"),
    ],
)
def test_what_an_earlier_run_settled_is_not_said_again(capsys, taken, other):
    with pytest.raises(SystemExit):
        parse_request(EXPERIMENT, [taken, "released", *other.split()])
    option = re.match("[a-z-]+", other)[0]
    assert f"expected {taken} or {option}, got both: with {taken} " in capsys.readouterr().err


def test_what_has_an_effect_beside_an_earlier_run_is_taken():
    argv = "--weights released --resume --seed 3 --transform zca --dataset fashion-mnist --thresholds 1 1 --quiet"
    request = parse_request(EXPERIMENT, argv.split())
    assert (request.seed, request.resume, request.preset) == (3, True, "standard")


def test_released_weights_have_a_folder_for_each_variant():
    parsed = parse_request(EXPERIMENT, ["--weights", "released"])
    assert parsed.weights == ROOT / "experiments" / "results" / "released" / "tiny"
    assert parsed.out.name == "tiny-again" and parsed.command == "experiments/tiny.py --weights released"
    assert parsed.recorded["weights"] == "released"
