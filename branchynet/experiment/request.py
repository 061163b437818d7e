"""What an experiment offers, and what is asked of one run of it."""

from __future__ import annotations

import dataclasses
import pathlib
import typing

from branchynet.training import TrainingSettings


@dataclasses.dataclass(frozen=True)
class Preset:
    """How long and how the two training steps run."""

    plain: TrainingSettings  # of step 1
    joint: TrainingSettings  # of step 2
    help: str  # what to expect, for `--help`

    @classmethod
    def of(cls, epochs_plain, epochs_joint, help, settings=TrainingSettings, **alike) -> Preset:
        """Steps that differ in their epochs alone; `settings` makes those of a step from its epochs and the rest."""
        return cls(settings(epochs_plain, **alike), settings(epochs_joint, **alike), help)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a script in `experiments/` says."""

    script: pathlib.Path  # `reference/` and `results/` lie beside it
    title: str  # name of the plain network, for `--help`
    network: typing.Callable  # (the parsed options of `options`) -> the network's entry in the zoo, `networks.Network`
    datasets: tuple  # names of the data sets it runs on, the default first
    presets: dict  # {name: Preset}, "standard" among them
    # (argparse parser) -> None, adds the script's own options; None for a script without.
    options: typing.Callable | None = None
    transforms: tuple = ("normalise", "zca")  # names in `branchynet.datasets.TRANSFORMS`, the default first
    # None, or (images uint8, numpy Generator) -> images uint8, applied in training by every preset but "paper".
    augment: typing.Callable | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """One run of an experiment, as the command line asks for it."""

    network: typing.Any  # entry of the zoo, `networks.Network`
    dataset: str  # its name, and so the next two
    transform: str
    preset: str
    plain_settings: TrainingSettings  # of step 1
    joint_settings: TrainingSettings  # of step 2
    augment: typing.Callable | None  # as of `Experiment`, None where nothing is changed
    device: str  # "cpu", "gpu" or "gpu:N"
    data_dir: pathlib.Path | None  # folder of the data sets; None for the usual places
    out: pathlib.Path  # folder of the results
    published: pathlib.Path  # folder of the published figures
    seed: int  # of initial weights, sample order and dropout, and of the order in which test images are timed
    engine: str  # of `branchynet.inference.compile_net`
    thresholds: tuple | None  # T that was given; None to choose
    # Text of what T of any value is to be chosen for, as of `branchynet.thresholds.parse_goal`, by the measured time of
    # each exit, end to end, or by multiply-adds if the goal is in them; None for the knee of the network's grid of T.
    goal: str | None
    budget_s: float  # seconds for timing the exits, and again in each process that times T
    weights: pathlib.Path | None  # folder of results whose weights are taken; None to train
    plain_from: pathlib.Path | None  # folder of results whose plain network is taken; None to train step 1
    resume: bool  # go on from the snapshots in `out`
    command: str  # the command line as text, without folders of the machine
    recorded: dict  # {option: value}, JSON-able, without folders of the machine
    n_processes_timed: int  # processes that time the settings of T, each a part of the test images
    timing_job: pathlib.Path | None  # folder of what one of these processes is to time; None for a run
    argv: tuple  # the command line itself, by which such a process is started
    quiet: bool  # nothing is told but errors, and what `as_json` asks for
    as_json: bool  # the record goes to stdout, in place of the summary, and all else to stderr
