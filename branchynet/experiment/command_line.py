"""The command line that all experiments share."""

import argparse
import dataclasses
import pathlib
import shlex
import sys

from branchynet.bench.paths import BUDGET_S
from branchynet.errors import ThresholdError
from branchynet.experiment.request import Experiment, Request
from branchynet.experiment.scripts import (
    add_quiet,
    argument,
    finite_number,
    nonempty_path,
    positive_number,
    seed_number,
    whole_number,
)
from branchynet.inference.engines import engine_names
from branchynet.thresholds import parse_goal
from branchynet.training import WEIGHTINGS

# In place of a folder of weights: those in results/released.
RELEASED = "released"
# How a run is told, not what is done: records know nothing of it.
_TELLING = ("--quiet", "--json")
_TRANSFORMS = {
    "scale": "scale: to [0, 1]",
    "normalise": "normalise: each channel to mean 0 and deviation 1",
    "zca": "zca: each image scaled, then whitened",
}
# How a process is started that times a part: `branchynet.experiment.processes`.
TIMING_JOB = "--timing-job"
# Options that name folders of the machine at hand: a record says what was done, not where. Of the folder that weights
# were taken from the path within the clone is kept, or its last name: it says which weights those were.
_FOLDER_OPTIONS = ("--data-dir", "--out", TIMING_JOB)
_PLAIN_FROM = "--plain-from"
_KEPT_FOLDERS = (_PLAIN_FROM, "--weights")
# {what is taken from an earlier run: (what that run settled, the options that settle it in a run which trains)}. A
# record would tell of them, and they would do nothing. The seed also orders the samples that are timed.
_SETTLED = {
    "weights": (
        "training",
        *("preset", "epochs_plain", "epochs_joint", "batch_size", "weighting", "loss_weights"),
        *("average", "freeze_trunk", "plain_from"),
    ),
    "plain_from": ("step 1", "epochs_plain"),
}


def parse_request(experiment: Experiment, argv=None) -> Request:
    """Parses an experiment's command line; prints an error and exits with status 2 where it makes no sense.

    Args:
        experiment: what can be asked for.
        argv: arguments without the program's name; those of the process by default.

    Raises:
        TrainingError: numbers that are no settings of training.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(experiment)
    options = parser.parse_args(argv)
    _check_settled(parser, argv)
    network, plain_from = experiment.network(options), options.plain_from and options.plain_from.resolve()
    recorded = {key: value for key, value in vars(options).items() if _option(key) not in _FOLDER_OPTIONS + _TELLING}
    clone = experiment.script.parents[1]
    for key in ("plain_from", "weights"):
        if str(recorded[key]) == RELEASED:
            recorded[key] = RELEASED
        elif recorded[key] is not None:
            recorded[key] = _relative(recorded[key], clone)
    plain_settings, joint_settings = _settings_of_steps(experiment.presets[options.preset], options)
    results = experiment.script.parent / "results"
    weights = results / RELEASED / network.name if recorded["weights"] == RELEASED else options.weights
    as_given = ("dataset", "transform", "preset", "device", "data_dir", "seed", "engine", "resume", "quiet")
    return Request(
        network=network,
        **{name: getattr(options, name) for name in as_given},
        plain_settings=plain_settings,
        joint_settings=joint_settings,
        augment=None if options.preset == "paper" else experiment.augment,
        out=pathlib.Path(options.out or results / _folder_name(experiment, network, options)),
        published=experiment.script.parent / "reference",
        thresholds=None if options.thresholds is None else tuple(options.thresholds),
        goal=options.choose,
        budget_s=options.budget,
        weights=None if weights is None else pathlib.Path(weights),
        plain_from=plain_from,
        command=shlex.join([f"experiments/{experiment.script.name}", *_without_folders(argv, clone)]),
        recorded=recorded,
        n_processes_timed=options.processes_timed,
        timing_job=options.timing_job,
        argv=(str(experiment.script), *argv),
        as_json=options.json,
    )


def _check_settled(parser, argv):
    """Exits with status 2 where an option says again what an earlier run settled, be it what it is by default."""
    names = {name for _, *names in _SETTLED.values() for name in names}
    # Defaults are for names without a value: what is None here was not given.
    given = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names)))
    for taken, (settled, *names) in _SETTLED.items():
        for name in names:
            if getattr(given, taken) is not None and getattr(given, name) is not None:
                both = f"{_option(taken)} or {_option(name)}"
                parser.error(f"expected {both}, got both: with {_option(taken)} {settled} is the earlier run's")


def _option(key):
    return f"--{key.replace('_', '-')}"


def _relative(folder, clone):
    """A folder as a record names it: by its path within the clone, or by its last name."""
    folder = pathlib.Path(folder).resolve()
    return folder.relative_to(clone).as_posix() if folder.is_relative_to(clone) else folder.name


def _settings_of_steps(preset, options):
    """The `TrainingSettings` of both steps: the preset's, with what the command line says instead."""
    changes = {"seed": options.seed}
    if options.batch_size is not None:
        changes["batch_size"] = options.batch_size
    plain = dataclasses.replace(preset.plain, **changes, epochs=options.epochs_plain or preset.plain.epochs)
    joint = dataclasses.replace(
        preset.joint,
        **changes,
        epochs=options.epochs_joint or preset.joint.epochs,
        weighting=options.weighting,
        loss_weights=None if options.loss_weights is None else tuple(options.loss_weights),
        freeze_trunk=options.freeze_trunk,
        average=options.average,
    )
    return plain, joint


def _parser(experiment):
    parser = argparse.ArgumentParser(
        prog=experiment.script.name,
        usage="%(prog)s [OPTION ...]",
        description=f"Trains {experiment.title} and B-{experiment.title}, chooses the thresholds T, measures, and "
        "writes table, figures and records.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    text = "; ".join(f"{name}: {preset.help}" for name, preset in experiment.presets.items())
    add("--preset", help=f"{text} (default: %(default)s)", choices=list(experiment.presets), default="standard")
    add("--device", help="where to compute (default: %(default)s)", default="cpu", metavar="cpu|gpu|gpu:N")
    add_quiet(parser)
    add("--json", help="the record to stdout, in place of the summary", action="store_true")
    _add_data_options(parser.add_argument_group("data and results").add_argument, experiment)
    _add_training_options(parser.add_argument_group("training").add_argument)
    _add_inference_options(parser.add_argument_group("inference"))
    if experiment.options is not None:
        experiment.options(parser.add_argument_group("this network"))
    return parser


def _add_data_options(add, experiment):
    add("--dataset", help="default: %(default)s", choices=experiment.datasets, default=experiment.datasets[0])
    names = experiment.transforms
    text = f"what prepares the images; {'; '.join(_TRANSFORMS[name] for name in names)} (default: %(default)s)"
    add("--transform", help=text, choices=names, default=names[0])
    text = "folder that holds the data set, or is to hold it (default: $BRANCHYNET_DATA or the user's cache)"
    add("--data-dir", help=text, type=nonempty_path, metavar="DIR")
    text = "folder for the results (default: one for these settings under experiments/results)"
    add("--out", help=text, type=nonempty_path, metavar="DIR")


def _add_training_options(add):
    text = "of initial weights, sample order and dropout (default: 0)"
    add("--seed", help=text, type=seed_number, default=0, metavar="N")
    for name, text in (
        ("--epochs-plain", "epochs of step 1, the plain network alone"),
        ("--epochs-joint", "epochs of step 2, all exits jointly"),
        ("--batch-size", "samples a training step"),
    ):
        add(name, help=f"{text} (default: the preset's)", type=whole_number(1), metavar="N")
    text = "how samples and exits weigh in joint training (default: all alike, the paper's)"
    add("--weighting", help=text, choices=WEIGHTINGS.names())
    add("--loss-weights", help="one for each exit (default: the network's)", type=finite_number, nargs="+", metavar="W")
    text = "step 2 gives the moving average of its weights, of this decay, as 0.999 (default: none)"
    decay = argument(finite_number, lambda number: 0 <= number < 1, "a number in [0, 1)")
    add("--average", help=text, type=decay, default=0.0, metavar="D")
    add("--freeze-trunk", help="train the exits alone, on the trunk of step 1 as it is", action="store_true")
    text = "folder of results to take step 1, the plain network, from"
    add(_PLAIN_FROM, help=text, type=nonempty_path, metavar="DIR")
    text = "take the weights in this folder of results, train only what is not there; 'released': those of the clone"
    add("--weights", help=text, type=nonempty_path, metavar="DIR|released")
    add("--resume", help="go on from the snapshots in the folder for the results", action="store_true")


def _add_inference_options(group):
    text = "of the timed path; auto: the first that can be used (default: %(default)s)"
    group.add_argument("--engine", help=text, choices=engine_names(), default="auto")
    text = "seconds for timing the exits, and again in each process that times T (default: %(default)g)"
    group.add_argument("--budget", help=text, type=positive_number, default=BUDGET_S, metavar="S")
    text = "that time T, each a part of the images (default: %(default)s)"
    group.add_argument("--processes-timed", help=text, type=whole_number(1, 100), default=5, metavar="N")
    group.add_argument(TIMING_JOB, help=argparse.SUPPRESS, type=pathlib.Path)
    add = group.add_mutually_exclusive_group().add_argument
    text = "entropy thresholds in nats, one for all early exits or one for each (default: chosen on validation)"
    add("--thresholds", help=text, type=finite_number, nargs="+", metavar="T")
    text = (
        "what the thresholds are to be chosen for, on validation: 'latency<=0.05ms', 'accuracy>=last-0.3%%', "
        "'risk<=0.5%%@95%%', ... (default: the knee of a fixed grid; an unknown goal lists all)"
    )
    add("--choose", help=text, type=_goal, metavar="GOAL")


def _goal(text):
    """An argparse type: the text of a goal that can be parsed."""
    try:
        parse_goal(text)
    except ThresholdError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _folder_name(experiment, network, options):
    """A folder for each training. Its snapshots serve runs with another T or engine, whose record takes the place of
    the one before; `--out` keeps both."""
    words = [network.name]
    if options.dataset != experiment.datasets[0]:
        words.append(options.dataset)
    if options.weights is not None:
        return "-".join([*words, "again"])
    words.append(options.preset)
    if options.transform != experiment.transforms[0]:
        words.append(options.transform)
    if options.weighting is not None:
        words.append(options.weighting)
    if options.loss_weights is not None:
        words.append("w" + "-".join(f"{weight:g}" for weight in options.loss_weights))
    if options.average:
        words.append(f"average{options.average:g}")
    if options.freeze_trunk:
        words.append("frozen")
    if options.plain_from is not None:
        words.append(f"on-{options.plain_from.resolve().name}")
    for letter, value in (("p", options.epochs_plain), ("j", options.epochs_joint), ("b", options.batch_size)):
        if value is not None:
            words.append(f"{letter}{value}")
    return "-".join([*words, f"seed{options.seed}"])


def _without_folders(argv, clone):
    """The arguments less those that say where, or how it is told; folders of weights as `_relative` names them."""
    kept, skip = [], False
    for word, following in zip(argv, [*argv[1:], None]):
        option, sign, value = word.partition("=")
        value = value if sign else following
        if skip:
            skip = False
        elif option in _FOLDER_OPTIONS:
            skip = not sign
        elif option in _KEPT_FOLDERS and value != RELEASED:
            kept += [option, _relative(value, clone)]
            skip = not sign
        elif option not in _TELLING:
            kept.append(word)
    return kept
