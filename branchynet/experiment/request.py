"""What an experiment offers, and what is asked of one run of it."""

from __future__ import annotations

import dataclasses
import pathlib
import typing

from branchynet.training import TrainingSettings


@dataclasses.dataclass(frozen=True)
class Preset:
    """How long and how the two training steps run.

    Attributes:
        plain, joint: `TrainingSettings` of the two steps.
        help: what to expect, for `--help`.
        tuned_on_test: names of the settings that were settled with a look at test figures; tables say so.
    """

    plain: TrainingSettings
    joint: TrainingSettings
    help: str
    tuned_on_test: tuple = ()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a script in `experiments/` says.

    Attributes:
        script: path of the script; `reference/` and `results/` lie beside it.
        title: name of the plain network, for `--help`.
        network: (the parsed options of `options`) -> the network's entry in the zoo, `networks.Network`.
        datasets: names of the data sets it runs on, the default first.
        presets: {name: Preset}, "standard" among them.
        options: (argparse parser) -> None, adds the script's own options; None for a script without.
        transforms: names in `branchynet.datasets.TRANSFORMS`, the default first.
        augment: None, or (images uint8, numpy Generator) -> images uint8, applied in training by every preset but
            "paper".
    """

    script: pathlib.Path
    title: str
    network: typing.Callable
    datasets: tuple
    presets: dict
    options: typing.Callable | None = None
    transforms: tuple = ("normalise", "zca")
    augment: typing.Callable | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """One run of an experiment, as the command line asks for it.

    Attributes:
        network: entry of the zoo, `networks.Network`.
        dataset, transform, preset: names.
        tuned_on_test: of the preset.
        plain_settings, joint_settings: `TrainingSettings` of the two steps.
        augment: as of `Experiment`, None where nothing is changed.
        device: "cpu", "gpu" or "gpu:N".
        data_dir: folder of the data sets; None for the usual places.
        out: folder of the results.
        published: folder of the published figures.
        seed: of initial weights, sample order and dropout.
        engine: of `branchynet.inference.compile_net`.
        thresholds: T that was given, a tuple; None to choose.
        goal: text of what T is to be chosen for; None for the knee of the authors' grid.
        budget_s: seconds for timing, as of `branchynet.experiment.analysis.analyse`.
        weights: folder of results whose weights are taken; None to train.
        plain_from: folder of results whose plain network is taken; None to train step 1.
        resume: go on from the snapshots in `out`.
        command: the command line as text, without folders of the machine.
        recorded: {option: value}, JSON-able, without folders of the machine.
        n_processes_timed: processes that time the settings of T, each a part of the test images.
        timing_job: folder of what one of these processes is to time; None for a run.
        argv: the command line itself, by which such a process is started.
        quiet: nothing is told but errors, and what `as_json` asks for.
        as_json: the record goes to stdout, in place of the summary, and all else to stderr.
    """

    network: typing.Any
    dataset: str
    transform: str
    preset: str
    tuned_on_test: tuple
    plain_settings: TrainingSettings
    joint_settings: TrainingSettings
    augment: typing.Callable | None
    device: str
    data_dir: str | None
    out: pathlib.Path
    published: pathlib.Path
    seed: int
    engine: str
    thresholds: tuple | None
    goal: str | None
    budget_s: float
    weights: pathlib.Path | None
    plain_from: pathlib.Path | None
    resume: bool
    command: str
    recorded: dict
    n_processes_timed: int
    timing_job: pathlib.Path | None
    argv: tuple
    quiet: bool
    as_json: bool
