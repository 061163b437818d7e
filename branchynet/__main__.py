"""`python -m branchynet classify FILE… --network lenet`: pictures of one's own, answered by a released network."""

import argparse
import sys
import time

import networks
from branchynet.datasets.pictures import read_picture
from branchynet.errors import UserError
from branchynet.machine.ending import exit_status

_COLUMNS = "{:<32} {:<12} {:>4} {:>9} {:>9}"


def main(argv=None) -> int:
    """Runs the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        the exit status: 0; 2 where a file, or the network, could not be used. Other files are answered all the same.
    """
    options, failed = _parser().parse_args(argv), []
    status = exit_status("branchynet", lambda: _classify(options, failed))
    return status or 2 * bool(failed)


def _classify(options, failed):
    """Prints a line for each file; those that could not be used, which stderr tells of, are added to `failed`."""
    trained = networks.load(options.network, options.weights)
    compiled = trained.compiled(options.engine)
    thresholds = options.thresholds or trained.thresholds
    print(_COLUMNS.format("file", "label", "exit", "score", "ms"))
    for path in options.files:
        try:
            picture = read_picture(path, trained.net.sample_shape, options.invert)[None]
            compiled.run(picture, thresholds)  # the first call makes buffers
            start = time.perf_counter()
            answers = compiled.run(picture, thresholds)
            elapsed_ms = 1e3 * (time.perf_counter() - start)
        except UserError as error:
            print(f"branchynet: error: {error}", file=sys.stderr)
            failed.append(path)
            continue
        label = trained.class_names[int(answers.labels[0])]
        print(
            _COLUMNS.format(
                str(path), label, int(answers.exits[0]) + 1, f"{answers.scores[0]:.4f}", f"{elapsed_ms:.3f}"
            )
        )


def _parser():
    parser = argparse.ArgumentParser(prog="python -m branchynet")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    classify = commands.add_parser(
        "classify",
        help="classify pictures",
        description="Classifies pictures with a trained network. For each file: the label, the exit at which the "
        "picture left, its score there (the entropy in nats) and the time of the answer.",
    )
    classify.add_argument("files", nargs="+", metavar="FILE", help="PNG, JPEG, ...: scaled to the size of the samples")
    classify.add_argument("--network", default="lenet", choices=list(networks.NETWORKS), help="default: %(default)s")
    classify.add_argument(
        "--weights", metavar="DIR", help="folder of an experiment's results (default: those released)"
    )
    classify.add_argument("--engine", default="auto", help="default: %(default)s")
    classify.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="default: those that the run chose")
    classify.add_argument("--invert", action="store_true", help="black becomes white: for dark digits on light paper")
    return parser


if __name__ == "__main__":
    sys.exit(main())
