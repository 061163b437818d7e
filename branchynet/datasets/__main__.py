"""Fetches data sets and says what they are: `python -m branchynet.datasets mnist [--data-dir DIR]`."""

import argparse
import sys

from branchynet.datasets import NAMES, load
from branchynet.machine.ending import exit_status


def main(argv=None) -> int:
    """Runs the command; returns its exit status, 2 if a data set cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m branchynet.datasets", description="Fetch and verify data sets.")
    parser.add_argument("name", nargs="+", help=f"one or more of {', '.join(NAMES)}")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds the data, or to download it into")
    options = parser.parse_args(argv)

    def run():
        for name in options.name:
            dataset = load(name, options.data_dir)
            print(f"{name}: {dataset.source}")
            for part, samples in (("train", dataset.train), ("test", dataset.test)):
                for kind, checksum in samples.sha256().items():
                    array = getattr(samples, kind)
                    print(f"  {part} {kind} {array.shape} {array.dtype} sha256 {checksum}")

    return exit_status("branchynet.datasets", run)


if __name__ == "__main__":
    sys.exit(main())
