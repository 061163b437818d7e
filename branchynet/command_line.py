"""The command line that all experiments share."""

from __future__ import annotations

import argparse
import math
import shlex
import sys

from branchynet.inference.compiled import ENGINES
from branchynet.training import weighting_names

# Options that say where on the machine at hand something lies.
_FOLDERS = ("data_dir", "out", "baseline")


def parse_arguments(experiment, argv=None) -> argparse.Namespace:
    """Parses an experiment's command line; prints an error and exits with status 2 where it makes no sense.

    Args:
        experiment: a `branchynet.experiment.Experiment`.
        argv: arguments without the program's name; those of the process by default.

    Returns:
        the options, and besides: `command` (the command line as text), `recorded` (the options, JSON-able, without
        folders of the machine at hand).
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser(experiment).parse_args(argv)
    add_provenance(arguments, experiment.script.name, argv)
    if arguments.out is None:
        words = [folder_name(experiment, arguments), *_ways_to_train(arguments), f"seed{arguments.seed}"]
        arguments.out = experiment.script.parent / "results" / "-".join(words)
    return arguments


def add_provenance(arguments, script_name, argv) -> None:
    """Adds `command` and `recorded` to parsed arguments; see `parse_arguments`."""
    arguments.recorded = {key: value for key, value in vars(arguments).items() if key not in _FOLDERS}
    arguments.command = shlex.join([f"experiments/{script_name}", *_without_folders(argv)])


def add_shared_options(parser, experiment) -> None:
    """Adds the options of everything that trains: which data, how long, on what, and where the results go."""

    def add(name, text, **settings):
        parser.add_argument(name, help=text, **settings)

    presets = "; ".join(f"{name}: {preset.help}" for name, preset in experiment.presets.items())
    add("--preset", f"{presets} (default: %(default)s)", choices=list(experiment.presets), default="standard")
    add("--device", "where to compute (default: %(default)s)", default="cpu", metavar="cpu|gpu|gpu:N")
    add("--dataset", "default: %(default)s", choices=experiment.datasets, default=experiment.datasets[0])
    add(
        "--data-dir",
        "folder that holds the data set, or is to hold it (default: $BRANCHYNET_DATA or the user's cache)",
        metavar="DIR",
    )
    add("--out", "folder for the results (default: one for these settings under experiments/results)", metavar="DIR")
    for name, text in (
        ("--epochs-main", "epochs of step 1, the main network alone"),
        ("--epochs-joint", "epochs of step 2, all exits jointly"),
        ("--batch-size", "samples a training step"),
    ):
        add(name, f"{text} (default: the preset's)", type=whole_number(1), metavar="N")
    add("--resume", "go on from the snapshots in the folder for the results", action="store_true")
    if experiment.options is not None:
        experiment.options(parser)


def _parser(experiment):
    parser = argparse.ArgumentParser(
        prog=experiment.script.name,
        description=f"Trains {experiment.network} and B-{experiment.network}, chooses the thresholds T, measures, and "
        "writes table, figures and records.",
        allow_abbrev=False,
    )

    def add(name, text, **settings):
        parser.add_argument(name, help=text, **settings)

    add_shared_options(parser, experiment)
    add(
        "--engine",
        "of the timed path; auto is the fastest that is installed (default: %(default)s)",
        choices=ENGINES,
        default="auto",
    )
    add("--seed", "of weights, sample order and dropout (default: 0)", type=whole_number(0), default=0, metavar="N")
    add(
        "--thresholds",
        "entropy thresholds in nats, one for all early exits or one for each (default: chosen on validation)",
        type=_finite_number,
        nargs="+",
        metavar="T",
    )
    _add_ways_to_train(add)
    return parser


def _add_ways_to_train(add):
    """The options of step 2 that depart from the paper."""
    add(
        "--weighting",
        f"of the exits' losses: {', '.join(weighting_names())} (default: the paper's loss)",
        choices=weighting_names(),
        metavar="NAME",
    )
    add("--heads-only", "step 2 trains the exits on a frozen trunk", action="store_true")
    add(
        "--loss-weights",
        "of the exits (default: the network's)",
        type=_finite_number,
        nargs="+",
        metavar="W",
    )


def whole_number(lowest):
    """An argparse type: a whole number that is at least `lowest`."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {lowest}, got {text!r}")
        return number

    return parse


def _finite_number(text):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number


def folder_name(experiment, arguments, stem=None) -> str:
    """A folder for each setting, so that a run never overwrites another one's results.

    Args:
        experiment: a `branchynet.experiment.Experiment`.
        arguments: parsed, with what `add_shared_options` adds.
        stem: the first word; the script's name by default.
    """
    words = [stem or experiment.script.stem, arguments.dataset, arguments.preset]
    if experiment.variant is not None:
        words.append(experiment.variant(arguments))
    for letter, value in (("m", arguments.epochs_main), ("j", arguments.epochs_joint), ("b", arguments.batch_size)):
        if value is not None:
            words.append(f"{letter}{value}")
    return "-".join(words)


def _ways_to_train(arguments):
    """Words of a folder's name for the options that depart from the paper; none by default."""
    words = [] if arguments.weighting is None else [arguments.weighting]
    if arguments.heads_only:
        words.append("heads")
    if arguments.loss_weights is not None:
        words.append("w" + "_".join(f"{weight:g}" for weight in arguments.loss_weights))
    return words


def _without_folders(argv):
    """The arguments less those that say where, not what."""
    options = ["--" + name.replace("_", "-") for name in _FOLDERS]
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif not word.startswith(tuple(f"{option}=" for option in options)):
            kept.append(word)
    return kept
