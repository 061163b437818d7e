"""One HTML file in which released networks run: draw a digit, move T, watch where it leaves; no server, no network.

The networks are what the library exports as C, compiled to WebAssembly by PyPI's `ziglang` (extra `native`). Test
images to pick from, and for the race of the plain network against the branchy one, are in the file. Nothing is rounded:
weights are stored once, for both networks, and compressed as the images are, in an order that compresses well.
"""

import argparse
import base64
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np

from branchynet import datasets, records
from branchynet.errors import CompileError
from branchynet.experiment import add_quiet, nonempty_path
from branchynet.inference.c_export import TARGETS, export_c
from branchynet.inference.native.images import SMALL_GROUP
from branchynet.inference.native.program import Program
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.machine import terminal
from branchynet.machine.ending import exit_status
from networks import zoo

SCRIPT = "page.py"
HERE = pathlib.Path(__file__).with_name("page")
# Released networks that the page can hold, and how many test images of each it holds.
NETWORKS = ("lenet", "alexnet-paper")
N_IMAGES = 1000
_SEED = 0


def web_assembly(trained, plain) -> bytes:
    """A released network, or the plain one of it, as a WebAssembly module with the functions of page.c; no weights.

    Raises:
        CompileError: the compiler is not installed, or fails.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise CompileError("the page needs ziglang; in the project's folder: pip install -e '.[native]'")
    with tempfile.TemporaryDirectory() as folder:
        export_c(trained.net, trained.thresholds, folder, trained.transform, "wasm32", plain=plain, tiles=False)
        words = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", TARGETS["wasm32"], "-std=c11", "-O3"]
        words += ["-mexec-model=reactor", "-ffp-contract=fast", "-fno-math-errno", "-fdata-sections", "-s", "-I."]
        words += ["-o", "model.wasm", str(HERE / "page.c"), "branchynet_model.c"]
        made = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        if made.returncode != 0:
            raise CompileError(f"page: the compiler failed: {made.stderr.strip()[-2000:]}")
        return (pathlib.Path(folder) / "model.wasm").read_bytes()


def places(lines, among) -> list:
    """Where lines of weights lie among others: [[the first of a run, how many]], the runs in order.

    Args:
        lines, among: (n, floats of a line) float32.

    Raises:
        KeyError: a line lies nowhere among the others.
    """
    first = {line.tobytes(): index for index, line in reversed(list(enumerate(among)))}
    runs = []
    for line in lines:
        following = sum(runs[-1]) if runs else len(among)
        if following < len(among) and among[following].tobytes() == line.tobytes():
            runs[-1][1] += 1
        else:
            runs.append([first[line.tobytes()], 1])
    return runs


def differences(images):
    """Images in which neighbours, and channels, are alike, as what they differ by: mostly small numbers, mod 256.

    The page adds up again along rows, along columns, and green to the others.

    Args:
        images: (N, C, H, W) uint8.

    Returns:
        of the same shape and dtype; an image of one channel, mostly black, as it is.
    """
    if images.shape[1] == 1:
        return images
    channels = images.copy()
    channels[:, [0, 2]] -= images[:, [1]]
    return np.diff(np.diff(channels, axis=2, prepend=np.uint8(0)), axis=3, prepend=np.uint8(0))


def describe_network(name, data_dir=None, compiled=lambda: None) -> dict:
    """What the page knows of a released network: JSON-able; modules, weights and images compressed, as base64.

    Args:
        name: of the network.
        data_dir: folder of the data sets; None for the usual places.
        compiled: is called after each of the two modules.
    """
    network, trained = zoo.get(name), zoo.load(name)
    dataset = datasets.load(network.dataset, data_dir)
    rows = np.random.default_rng(_SEED).permutation(len(dataset.test))[:N_IMAGES]
    plans = make_plan(trained.net), make_plain_plan(trained.net)
    early, plain = (Program(plan, tiles=False).weights.reshape(-1, SMALL_GROUP) for plan in plans)
    modules = {}
    for form in ("early", "plain"):
        modules[form] = _packed(np.frombuffer(web_assembly(trained, plain=form == "plain"), np.uint8))
        compiled()
    return {
        "name": name,
        "title": f"B-{network.title}",
        "dataset": {"mnist": "MNIST", "cifar10": "CIFAR-10"}[network.dataset],
        "shape": list(trained.net.sample_shape),
        "classes": list(trained.class_names),
        "n_exits": trained.net.n_exits,
        "thresholds": [float(T) for T in trained.thresholds],
        "plain_weights": places(plain, among=early),
        "line_bytes": 4 * SMALL_GROUP,
        "packed": {
            "images": _packed(differences(dataset.test.images[rows])),
            "labels": _packed(dataset.test.labels[rows].astype(np.uint8)),
            # All first bytes, then all second ones ...: those that hold the exponent are alike.
            "weights": _packed(early.astype("<f4").reshape(-1, 1).view(np.uint8).T),
            **modules,
        },
    }


def page(described) -> str:
    """The page, of what `describe_network` gave; the first network stands before the script, the others behind it."""
    template = (HERE / "template.html").read_text(encoding="utf-8")
    known = [{key: value for key, value in network.items() if key != "packed"} for network in described]
    first, *rest = (
        f'<script type="application/json" id="{network["name"]}">{_as_json(network["packed"])}</script>'
        for network in described
    )
    for mark, text in (("__NETWORKS__", _as_json(known)), ("__FIRST__", first), ("__REST__", "\n".join(rest))):
        template = template.replace(mark, text)
    return template


def _as_json(value):
    """JSON that does not end the script element which it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _packed(array):
    """The bytes of an array, by the method of zlib that serves best, as base64."""
    content, found = np.ascontiguousarray(array).tobytes(), []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        packer = zlib.compressobj(level=9, memLevel=9, strategy=strategy)
        found.append(packer.compress(content) + packer.flush())
    return base64.b64encode(min(found, key=len)).decode("ascii")


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=NETWORKS)
    parser.add_argument("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    default = zoo.RELEASED / "page" / "index.html"
    parser.add_argument("--out", type=nonempty_path, default=default, metavar="FILE", help="default: the released page")
    add_quiet(parser)
    return parser.parse_args(argv)


def _run(options):
    records.prepare_output(options.out.parent)
    with terminal.bar("compiling", 2 * len(options.networks), "module") as bar:
        described = [describe_network(name, options.data_dir, bar.update) for name in options.networks]
    records.write_text(options.out, page(described))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def main(argv=None):
    """Writes the page; returns the exit status."""
    options = parse_arguments(argv)
    return exit_status(SCRIPT, lambda: _run(options), "stopped; the page is as it was", quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())
