"""Fetch a data set and say what it is: `python -m branchynet.datasets mnist [--data-dir DIR]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from branchynet.datasets import NAMES, load
from branchynet.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, 2 if the data set cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m branchynet.datasets", description="Fetch and verify a data set.")
    parser.add_argument("name", nargs="+", help=f"one or more of {', '.join(NAMES)}")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds the data, or to download it into")
    options = parser.parse_args(arguments)
    try:
        for name in options.name:
            _describe(name, options.data_dir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _describe(name: str, data_dir: str | None) -> None:
    dataset = load(name, data_dir)
    print(f"{dataset.name}: {dataset.source}")
    for part, samples in (("train", dataset.train), ("test", dataset.test)):
        checksums = samples.sha256()
        print(f"  {part} images {samples.images.shape} {samples.images.dtype} sha256 {checksums['images']}")
        print(f"  {part} labels {samples.labels.shape} {samples.labels.dtype} sha256 {checksums['labels']}")


if __name__ == "__main__":
    sys.exit(main())
