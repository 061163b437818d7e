"""One HTML file in which released networks run: draw a digit, move T, watch where it leaves; no server, no network.

The networks are what the library exports as C, compiled to WebAssembly by PyPI's `ziglang` (extra `native`). Test
images to pick from, and for the race of the plain network against the branchy one, are in the file.
"""

import argparse
import base64
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np

from branchynet import datasets, records
from branchynet.errors import CompileError
from branchynet.inference.c_export import TARGETS, export_c
from branchynet.machine.ending import exit_status
from networks import zoo

SCRIPT = "page.py"
HERE = pathlib.Path(__file__).with_name("page")
# Name of a released network: test images of it in the page.
N_IMAGES = {"lenet": 1000, "alexnet-paper": 400}
_SEED = 0


def web_assembly(trained, plain) -> bytes:
    """A released network, or the plain one of it, as a WebAssembly module with the functions of page.c.

    Raises:
        CompileError: the compiler is not installed, or fails.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise CompileError("the page needs ziglang; in the project's folder: pip install -e '.[native]'")
    with tempfile.TemporaryDirectory() as folder:
        export_c(trained.net, trained.thresholds, folder, trained.transform, "wasm32", plain=plain)
        words = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", TARGETS["wasm32"], "-std=c11", "-O3"]
        words += ["-mexec-model=reactor", "-ffp-contract=fast", "-fno-math-errno", "-s", "-I.", "-o", "model.wasm"]
        made = subprocess.run(
            [*words, str(HERE / "page.c"), "branchynet_model.c"], cwd=folder, capture_output=True, text=True
        )
        if made.returncode != 0:
            raise CompileError(f"page: the compiler failed: {made.stderr.strip()[-2000:]}")
        return (pathlib.Path(folder) / "model.wasm").read_bytes()


def describe_network(name, n_images, data_dir=None) -> dict:
    """What the page knows of a released network: JSON-able, with modules and images as base64."""
    network, trained = zoo.get(name), zoo.load(name)
    dataset = datasets.load(network.dataset, data_dir)
    rows = np.random.default_rng(_SEED).permutation(len(dataset.test))[:n_images]
    return {
        "name": name,
        "title": f"B-{network.title}",
        "dataset": {"mnist": "MNIST", "cifar10": "CIFAR-10"}[network.dataset],
        "shape": list(trained.net.sample_shape),
        "classes": list(trained.class_names),
        "n_exits": trained.net.n_exits,
        "thresholds": [float(T) for T in trained.thresholds],
        "images": _base64(dataset.test.images[rows].tobytes()),
        "labels": _base64(dataset.test.labels[rows].astype(np.uint8).tobytes()),
        "early": _base64(web_assembly(trained, plain=False)),
        "plain": _base64(web_assembly(trained, plain=True)),
    }


def page(described) -> str:
    """The page, of what `describe_network` gave."""
    template = (HERE / "template.html").read_text(encoding="utf-8")
    data = json.dumps(described).replace("<", "\\u003c")
    return template.replace("__DATA__", data)


def _base64(content):
    return base64.b64encode(content).decode("ascii")


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", choices=list(N_IMAGES), nargs="+", default=list(N_IMAGES))
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data sets")
    default = zoo.RELEASED / "page" / "index.html"
    parser.add_argument("--out", type=pathlib.Path, default=default, metavar="FILE", help="default: the released page")
    return parser.parse_args(argv)


def _run(options):
    described = [describe_network(name, N_IMAGES[name], options.data_dir) for name in options.networks]
    records.prepare_output(options.out.parent)
    records.write_text(options.out, page(described))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def main(argv=None):
    """Writes the page; returns the exit status."""
    options = parse_arguments(argv)
    return exit_status(SCRIPT, lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
