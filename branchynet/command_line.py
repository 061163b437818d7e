"""The command line that all experiments share."""

from __future__ import annotations

import argparse
import math
import pathlib
import shlex
import sys

from branchynet.choosers import parse_goal
from branchynet.errors import ThresholdError, UserError
from branchynet.inference.compiled import ENGINES
from branchynet.training import weighting_names

# In place of a folder of weights: those in results/released.
RELEASED = "released"
# Options that name folders: what is recorded is what was done, not where.
_FOLDER_OPTIONS = ("--data-dir", "--out", "--weights")
# Of this one the last name is kept: it says whose main network was taken.
_BASELINE = "--baseline"


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
    parser = _parser(experiment)
    arguments = parser.parse_args(argv)
    if arguments.baseline is not None and arguments.weights is not None:
        parser.error("--baseline: there is nothing to train with --weights; give one of them")
    if arguments.baseline is not None and arguments.epochs_main is not None:
        parser.error("--epochs-main: step 1 is not trained with --baseline; give one of them")
    arguments.recorded = {
        key: value
        for key, value in vars(arguments).items()
        if f"--{key.replace('_', '-')}" not in _FOLDER_OPTIONS or value == RELEASED
    }
    if arguments.baseline is not None:
        arguments.recorded["baseline"] = arguments.baseline.resolve().name
    arguments.command = shlex.join([f"experiments/{experiment.script.name}", *_without_folders(argv)])
    arguments.weights = _weights_folder(experiment, arguments)
    if arguments.out is None:
        arguments.out = experiment.script.parent / "results" / _folder_name(experiment, arguments)
    return arguments


def released_name(experiment, arguments) -> str:
    """The name of the folder of what was released for these settings."""
    words = [experiment.script.stem]
    if arguments.dataset != experiment.datasets[0]:
        words.append(arguments.dataset)
    if experiment.variant is not None:
        words.append(experiment.variant(arguments))
    return "-".join(words)


def _weights_folder(experiment, arguments):
    if arguments.weights is None:
        return None
    if arguments.weights != RELEASED:
        return pathlib.Path(arguments.weights)
    return experiment.script.parent / "results" / RELEASED / released_name(experiment, arguments)


def _parser(experiment):
    parser = argparse.ArgumentParser(
        prog=experiment.script.name,
        description=f"Trains {experiment.network} and B-{experiment.network}, chooses the thresholds T, measures, and "
        "writes table, figures and records.",
        allow_abbrev=False,
    )
    presets = "; ".join(f"{name}: {preset.help}" for name, preset in experiment.presets.items())
    add = _adder(parser)
    add("--preset", f"{presets} (default: %(default)s)", choices=list(experiment.presets), default="standard")
    add("--device", "where to compute (default: %(default)s)", default="cpu", metavar="cpu|gpu|gpu:N")
    _add_data_options(_adder(parser.add_argument_group("data and results")), experiment)
    _add_training_options(_adder(parser.add_argument_group("training")))
    _add_inference_options(parser.add_argument_group("inference"))
    if experiment.options is not None:
        experiment.options(parser.add_argument_group("this network"))
    return parser


def _adder(group):
    def add(name, text, **settings):
        group.add_argument(name, help=text, **settings)

    return add


def _add_data_options(add, experiment):
    add("--dataset", "default: %(default)s", choices=experiment.datasets, default=experiment.datasets[0])
    add(
        "--preprocessing",
        "scale: to [0, 1]; normalise: each channel to mean 0 and deviation 1; zca: each image scaled, then whitened "
        "(default: %(default)s)",
        choices=experiment.preprocessings,
        default=experiment.preprocessings[0],
    )
    add(
        "--data-dir",
        "folder that holds the data set, or is to hold it (default: $BRANCHYNET_DATA or the user's cache)",
        metavar="DIR",
    )
    add("--out", "folder for the results (default: one for these settings under experiments/results)", metavar="DIR")


def _add_training_options(add):
    text = "of initial weights, sample order and dropout (default: 0)"
    add("--seed", text, type=whole_number(0), default=0, metavar="N")
    for name, text in (
        ("--epochs-main", "epochs of step 1, the main network alone"),
        ("--epochs-joint", "epochs of step 2, all exits jointly"),
        ("--batch-size", "samples a training step"),
    ):
        add(name, f"{text} (default: the preset's)", type=whole_number(1), metavar="N")
    text = "how samples and exits weigh in joint training (default: all alike, the paper's)"
    add("--weighting", text, choices=weighting_names())
    add("--loss-weights", "one for each exit (default: the network's)", type=_finite_number, nargs="+", metavar="W")
    add("--heads-only", "train the exits alone, on the trunk of step 1 as it is", action="store_true")
    text = "folder of results to take step 1, the main network, from"
    add("--baseline", text, type=pathlib.Path, metavar="DIR")
    add(
        "--weights",
        "take the weights in this folder of results and train nothing; 'released' are those that come with the code",
        metavar="DIR|released",
    )
    add("--resume", "go on from the snapshots in the folder for the results", action="store_true")


def _add_inference_options(group):
    text = "of the timed path; auto is the fastest that is installed (default: %(default)s)"
    group.add_argument("--engine", help=text, choices=ENGINES, default="auto")
    which_thresholds = group.add_mutually_exclusive_group()
    which_thresholds.add_argument(
        "--thresholds",
        help="entropy thresholds in nats, one for all early exits or one for each (default: chosen on validation)",
        type=_finite_number,
        nargs="+",
        metavar="T",
    )
    which_thresholds.add_argument(
        "--choose",
        help="what the thresholds are to be chosen for, on validation: 'latency<=0.05ms', 'accuracy>=last-0.3%%', "
        "'risk<=0.5%%@95%%', ... (default: the knee of a fixed grid; an unknown goal lists all)",
        type=_goal,
        metavar="GOAL",
    )


def exit_status(script, run, stopped="stopped") -> int:
    """Runs a script's work; an error that the user can mend becomes one line.

    Args:
        script: the script's name, for messages.
        run: function without arguments.
        stopped: what to say after Ctrl-C.

    Returns:
        the exit status: 0, or 2 after an error that the user can mend, or 130 after Ctrl-C.
    """
    try:
        run()
    except UserError as error:
        print(f"{script}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{script}: {stopped}", file=sys.stderr)
        return 130
    return 0


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


def _goal(text):
    """An argparse type: the text of a goal that can be parsed."""
    try:
        parse_goal(text)
    except ThresholdError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _finite_number(text):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number


def _folder_name(experiment, arguments):
    """A folder for each setting, so that a run never overwrites another one's results."""
    if arguments.weights is not None:
        return f"{released_name(experiment, arguments)}-again"
    words = [experiment.script.stem, arguments.dataset, arguments.preset]
    if experiment.variant is not None:
        words.append(experiment.variant(arguments))
    if arguments.preprocessing != experiment.preprocessings[0]:
        words.append(arguments.preprocessing)
    if arguments.weighting is not None:
        words.append(arguments.weighting)
    if arguments.loss_weights is not None:
        words.append("w" + "-".join(f"{weight:g}" for weight in arguments.loss_weights))
    if arguments.heads_only:
        words.append("heads")
    if arguments.baseline is not None:
        words.append(f"on-{arguments.baseline.resolve().name}")
    for letter, value in (("m", arguments.epochs_main), ("j", arguments.epochs_joint), ("b", arguments.batch_size)):
        if value is not None:
            words.append(f"{letter}{value}")
    return "-".join([*words, f"seed{arguments.seed}"])


def _without_folders(argv):
    """The arguments less those that say where, not what."""
    kept, skip = [], False
    for word, following in zip(argv, [*argv[1:], None]):
        option, sign, value = word.partition("=")
        if skip:
            skip = False
        elif option == _BASELINE:
            kept += [_BASELINE, pathlib.Path(value if sign else following).resolve().name]
            skip = not sign
        elif option in _FOLDER_OPTIONS and (value if sign else following) != RELEASED:
            skip = not sign
        else:
            kept.append(word)
    return kept
