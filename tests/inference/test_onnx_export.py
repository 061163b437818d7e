"""Exported files answer as the reference path, in ONNX Runtime alone."""

import importlib
import json
import pathlib
import subprocess
import sys
import venv

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, as_float, drawn_net, mixed_thresholds, tiny_batch, tiny_net, tiny_samples

from branchynet import FL, Branch, PercentExits, run
from branchynet.datasets import TRANSFORMS
from branchynet.datasets.transforms import Normalise
from branchynet.errors import CompileError, DataError, OutputError, ThresholdError

onnxruntime = pytest.importorskip("onnxruntime")
export_onnx = pytest.importorskip("branchynet.inference.onnx_export").export_onnx

N_SAMPLES = 12


@pytest.fixture
def exported(tmp_path):
    """The net, samples, thresholds at which samples leave everywhere, and the files."""
    net = tiny_net()
    x, _ = tiny_batch(N_SAMPLES)
    thresholds = mixed_thresholds(net, x)
    assert set(run(net, x, thresholds).exits.tolist()) == {0, 1, 2}
    return net, x, thresholds, export_onnx(net, thresholds, tmp_path / "net.onnx")


def test_one_file_and_one_for_each_segment(exported):
    assert [path.name for path in exported[3]] == [
        "net.onnx", "net.segment1.onnx", "net.segment2.onnx", "net.segment3.onnx"
    ]  # fmt: skip


def assert_file_answers(path, x, expected, **others):
    """One sample after another, each with the other inputs, is answered by a file as expected."""
    session = onnxruntime.InferenceSession(path)
    for i in range(len(x)):
        answers = session.run(["label", "exit", "entropy", "logits"], {"x": x[i : i + 1], **others})
        label, exit_index, entropy, logits = answers
        assert (label.tolist(), exit_index.tolist()) == ([expected.labels[i]], [expected.exits[i]])
        np.testing.assert_allclose(entropy, expected.scores[i : i + 1], atol=1e-5)
        np.testing.assert_allclose(logits, expected.logits[i : i + 1], atol=1e-5)


def test_the_one_file_answers_as_the_reference_path(exported):
    net, x, thresholds, paths = exported
    assert_file_answers(paths[0], x, run(net, x, thresholds))


def test_thresholds_can_be_an_input(tmp_path):
    net, (x, _) = tiny_net(), tiny_batch(N_SAMPLES)
    whole, *_ = export_onnx(net, 0.5, tmp_path / "net.onnx", thresholds_as_input=True)
    for thresholds in ([0.0, 0.0], [0.0, 9.0], [9.0, 0.0]):
        assert_file_answers(whole, x, run(net, x, thresholds), thresholds=np.array(thresholds, np.float32))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_threshold_that_float32_does_not_hold_is_infinity(tmp_path):
    net, (x, _) = tiny_net(), tiny_batch(N_SAMPLES)
    assert_file_answers(export_onnx(net, 1e300, tmp_path / "net.onnx")[0], x, run(net, x, np.inf))


def test_segments_serve_batches(exported):
    net, x, thresholds, paths = exported
    expected = run(net, x, thresholds)
    remaining, h = np.arange(N_SAMPLES), x
    for index, path in enumerate(paths[1:]):
        results = onnxruntime.InferenceSession(path).run(None, {"x": h})
        label, entropy, logits = results[:3]
        leaving = entropy < thresholds[index] if index < 2 else np.ones(len(h), bool)
        rows = remaining[leaving]
        assert (expected.exits[rows] == index).all()
        np.testing.assert_array_equal(label[leaving], expected.labels[rows])
        np.testing.assert_allclose(logits[leaving], expected.logits[rows], atol=1e-5)
        remaining, h = remaining[~leaving], results[3][~leaving] if index < 2 else None
    assert len(remaining) == 0


def test_no_file_prints_a_warning_when_it_is_loaded(exported, tmp_path, capfd):
    paths = [*exported[3], *export_onnx(exported[0], 0.5, tmp_path / "b.onnx", thresholds_as_input=True)]
    for path in paths:
        onnxruntime.InferenceSession(path)
    assert tuple(capfd.readouterr()) == ("", "")


def test_an_export_of_fewer_exits_leaves_no_segment_of_the_one_before(exported, tmp_path):
    others = {"net.segment9.onnx.txt", "net.segmentX.onnx", "net2.segment9.onnx"}
    for name in {"net.segment4.onnx", "net.segment12.onnx", *others}:
        (tmp_path / name).write_bytes(b"")
    paths = export_onnx(exported[0], 0.5, tmp_path / "net.onnx")
    assert {path.name for path in tmp_path.iterdir()} == others | {path.name for path in paths}


@pytest.mark.parametrize("missing", ["onnx", "onnx.onnx_cpp2py_export"])
def test_without_onnx_the_error_names_the_extra(monkeypatch, missing):
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnx" or name.endswith(".onnx_export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ImportError, match=r"needs the package onnx; .*pip install -e '.\[onnx\]', or uv sync --extra onnx"
    ):
        importlib.import_module("branchynet.inference.onnx_export")


DEPLOYED = """
import json, sys
import numpy as np, onnxruntime
try:
    import chainer
except ImportError:
    pass
else:
    sys.exit("Chainer is here")
x = np.load("x.npy")
session = onnxruntime.InferenceSession("net.onnx")
answers = [session.run(["label", "exit"], {"x": x[i : i + 1]}) for i in range(len(x))]
print(json.dumps([[int(label[0]), int(exit_index[0])] for label, exit_index in answers]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links to packages")
def test_a_machine_without_chainer_gives_the_same_answers(exported, tmp_path):
    """A virtual environment with NumPy and ONNX Runtime and nothing else."""
    net, x, thresholds, _ = exported
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").rglob("site-packages"))
    source = pathlib.Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs", "onnxruntime", "onnxruntime.libs"):
        if (source / name).exists():
            (site / name).symlink_to(source / name)
    np.save(tmp_path / "x.npy", x)
    python = tmp_path / "venv" / "bin" / "python"
    result = subprocess.run(
        [python, "-I", "-c", DEPLOYED], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    expected = run(net, x, thresholds)
    assert json.loads(result.stdout) == list(map(list, zip(expected.labels.tolist(), expected.exits.tolist())))


@pytest.mark.parametrize(
    ("thresholds", "error", "message"),
    [
        ([0.1, 0.2, 0.3], ThresholdError, "expected 2"),
        (PercentExits((50, 50)), ThresholdError, "expected thresholds in nats; a percentage"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(tmp_path, thresholds, error, message):
    with pytest.raises(error, match=message):
        export_onnx(tiny_net(), thresholds, tmp_path / "net.onnx")


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ends in \.onnx"):
        export_onnx(tiny_net(), 0.5, tmp_path / "net.bin")
    with pytest.raises(OutputError, match="cannot write"):
        export_onnx(tiny_net(), 0.5, tmp_path / "missing" / "net.onnx")


def test_logits_have_a_column_for_each_class(exported):
    session = onnxruntime.InferenceSession(exported[3][0])
    assert {o.name: o.shape for o in session.get_outputs()}["logits"] == [1, N_CLASSES]


def test_a_segment_without_a_head_gives_one_array_twice(tmp_path):
    net = drawn_net(lambda: [L.Linear(4, 3), Branch([FL(F.relu)]), FL(F.relu), Branch([L.Linear(3, 3)])], (4,))
    x = np.random.default_rng(0).normal(size=(N_SAMPLES, 4)).astype(np.float32)
    thresholds = mixed_thresholds(net, x)
    whole, first_segment, _ = export_onnx(net, thresholds, tmp_path / "net.onnx")
    assert_file_answers(whole, x, run(net, x, thresholds))
    logits, features = onnxruntime.InferenceSession(first_segment).run(["logits", "features"], {"x": x})
    np.testing.assert_allclose(logits, run(net, x, 9.0).logits, atol=1e-5)
    np.testing.assert_array_equal(features, logits)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_with_its_transform_the_file_takes_pixels(tmp_path, name):
    net, images = tiny_net(), tiny_samples(N_SAMPLES).images
    transform = TRANSFORMS[name].fit(tiny_samples(200, seed=1).images)
    whole, first_segment, *_ = export_onnx(net, 0.0, tmp_path / "net.onnx", transform)
    assert_file_answers(whole, images, run(net, transform(images), 0.0))
    (logits,) = onnxruntime.InferenceSession(first_segment).run(["logits"], {"x": images})
    np.testing.assert_allclose(logits, run(net, transform(images), 9.0).logits, atol=1e-4)


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (as_float, CompileError, "a transform that ONNX nodes are known for, got <function"),
        (Normalise((0.5, 0.5), (0.2, 0.2)), DataError, r"normalise: expected images \(N, 2, H, W\)"),
    ],
)
def test_a_transform_of_other_images_or_that_onnx_does_not_know_is_refused(tmp_path, transform, error, message):
    with pytest.raises(error, match=message):
        export_onnx(tiny_net(), 0.0, tmp_path / "net.onnx", transform)
