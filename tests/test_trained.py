"""A trained net is used without its data set: released ones, saved ones, and pictures from the command line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import as_float, tiny_list, tiny_net, tiny_samples

import networks
from branchynet import TrainedNet, datasets, run, save_weights
from branchynet.__main__ import main
from branchynet.datasets import TRANSFORMS
from branchynet.datasets.pictures import read_picture
from branchynet.errors import DataError, NetworkError, SnapshotError, ThresholdError
from branchynet.inference import record_exits
from branchynet.machine.devices import to_host
from branchynet.records import read_json
from networks import zoo

SAMPLES = tiny_samples(30)


@pytest.fixture
def no_data(monkeypatch):
    """A machine that has no data set and can get none."""

    def refuse(*arguments):
        raise AssertionError("asked for a data set")

    monkeypatch.setattr(datasets, "load", refuse)


def save_tiny(folder, transform):
    net = tiny_net()
    save_weights(net, folder / "w", {"seed": 0}, transform, ("dark", "grey", "light"))
    return net


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_net_comes_back_with_its_transform_and_its_class_names(tmp_path, name):
    transform = TRANSFORMS[name].fit(SAMPLES.images)
    net = save_tiny(tmp_path, transform)
    trained = TrainedNet.load(tiny_list(), tmp_path / "w", thresholds=(0.9, 0.9))
    assert trained.class_names == ("dark", "grey", "light") and trained.provenance == {"seed": 0}
    np.testing.assert_array_equal(trained.transform(SAMPLES.images), transform(SAMPLES.images))
    expected = run(net, transform(SAMPLES.images), (0.9, 0.9))
    answers = trained.predict(SAMPLES.images)
    np.testing.assert_array_equal(answers.labels, expected.labels)
    np.testing.assert_array_equal(answers.exits, expected.exits)
    assert (trained.predict(SAMPLES.images, thresholds=0.0).exits == 2).all()
    assert trained.compiled() is trained.compiled()


def test_images_are_answered_where_the_net_is(tmp_path, device):
    net = save_tiny(tmp_path, TRANSFORMS["scale"]())
    trained = TrainedNet.load(tiny_list(), tmp_path / "w", thresholds=(0.9, 0.9))
    trained.net.to_device(device)
    assert trained.compiled().device == device
    expected = run(net, as_float(SAMPLES.images), (0.9, 0.9))
    for images in (SAMPLES.images, device.send(SAMPLES.images)):
        np.testing.assert_array_equal(to_host(trained.predict(images).labels), expected.labels)


def test_a_net_without_thresholds_asks_for_them(tmp_path):
    save_tiny(tmp_path, TRANSFORMS["scale"]())
    trained = TrainedNet.load(tiny_list(), tmp_path / "w")
    with pytest.raises(ThresholdError, match="expected thresholds, got none"):
        trained.predict(SAMPLES.images)
    with pytest.raises(DataError, match="expected uint8 images, got float32"):
        trained.predict(as_float(SAMPLES.images), 0.5)
    with pytest.raises(NetworkError, match="expected samples of shape"):
        trained.predict(SAMPLES.images[:, :, :5], 0.5)


def test_a_network_that_does_not_take_the_samples_of_the_weights_is_another_one(tmp_path):
    save_tiny(tmp_path, TRANSFORMS["scale"]())
    with pytest.raises(SnapshotError, match=r"w belongs to another network: .*take a sample of shape \(1, 6, 6\)"):
        TrainedNet.load(networks.NETWORKS["resnet-20"].build(), tmp_path / "w")


def test_weights_that_do_not_say_how_images_are_prepared_are_refused(tmp_path):
    save_weights(tiny_net(), tmp_path / "w")
    with pytest.raises(SnapshotError, match="expected weights with their transform"):
        TrainedNet.load(tiny_list(), tmp_path / "w")


@pytest.mark.parametrize("name", zoo.released_names())
def test_a_released_network_needs_no_data_set(name, no_data):
    trained = networks.load(name)
    record = read_json(zoo.get(name).folder / "run.json")
    assert record["name"] == name and record["arguments"]["transform"] == trained.transform.name
    assert list(trained.thresholds) == record["choice"]["thresholds"]
    images = np.random.default_rng(0).integers(0, 256, (3, *trained.net.sample_shape)).astype(np.uint8)
    answers = trained.predict(images)
    assert answers.logits.shape == (3, len(trained.class_names)) == (3, 10)
    records = record_exits(trained.net, trained.transform(images), np.zeros(3, np.int32))
    np.testing.assert_array_equal(answers.exits, records.exits_at(trained.thresholds))


def test_what_is_said_of_released_weights_has_a_checksum_of_its_own():
    paths = [path for stem in ("plain", "weights", "longer") for path in zoo.RELEASED.rglob(f"{stem}.json")]
    assert len(paths) >= 3 * len(zoo.released_names())
    assert [path for path in paths if "description_sha256" not in read_json(path)] == []


def test_networks_are_asked_for_by_the_names_of_the_zoo(tmp_path):
    assert list(networks.NETWORKS) == [network.name for network in networks.NETWORKS.values()]
    with pytest.raises(NetworkError, match="expected one of lenet, alexnet-paper, .*, got 'lenet_mnist'"):
        networks.load("lenet_mnist")
    with pytest.raises(SnapshotError, match="resnet-110-paper: expected released weights"):
        networks.load("resnet-110-paper")
    with pytest.raises(SnapshotError, match="expected weights.npz and weights.json"):
        networks.load("lenet", tmp_path)
    with pytest.raises(SnapshotError, match="expected results of lenet, got those of resnet-20"):
        networks.load("lenet", zoo.get("resnet-20").folder)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"weights_sha256": {"weights": "0" * 64}},
            "expected the record of the run that made the weights",
        ),
        ({"weights_sha256": []}, "expected the record of a run, got a damaged one"),
        ({}, "expected the record of a run, got a damaged one"),
    ],
)
def test_thresholds_are_those_of_the_run_that_made_the_weights(tmp_path, record, message):
    for ending in ("npz", "json"):
        shutil.copy(zoo.get("lenet").folder / f"weights.{ending}", tmp_path)
    assert networks.load("lenet", tmp_path).thresholds is None
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(SnapshotError, match=message):
        networks.load("lenet", tmp_path)


@pytest.fixture
def pictures(tmp_path):
    """A PNG in grey, a JPEG in colours, and a file that is neither."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(pixels).save(tmp_path / "colours.jpg")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def test_a_picture_becomes_a_sample_of_the_networks_size_and_colours(pictures):
    grey = read_picture(pictures / "grey.png", (1, 28, 28))
    assert (grey.shape, grey.dtype) == ((1, 28, 28), np.uint8)
    np.testing.assert_array_equal(read_picture(pictures / "grey.png", (1, 28, 28), invert=True), 255 - grey)
    assert read_picture(pictures / "colours.jpg", (3, 32, 32)).shape == (3, 32, 32)
    same_size = read_picture(pictures / "grey.png", (1, 40, 30))
    np.testing.assert_array_equal(same_size[0], np.asarray(Image.open(pictures / "grey.png")))


def test_a_transparent_picture_lies_on_white_and_sixteen_bits_are_scaled(tmp_path):
    drawn = np.zeros((2, 2, 4), np.uint8)
    drawn[0, 0, 3] = 255  # a black pixel; all others are transparent
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    assert read_picture(tmp_path / "drawn.png", (1, 2, 2)).tolist() == [[[0, 255], [255, 255]]]
    Image.fromarray(np.array([[0, 257 * 3], [257 * 200, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png", (1, 2, 2)).tolist() == [[[0, 3], [200, 255]]]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("nothing.png", (1, 28, 28), "expected a picture, got no such file"),
        (".", (1, 28, 28), "expected a picture, got no such file"),
        ("text.png", (1, 28, 28), "expected a picture, got a damaged file"),
        ("grey.png", (2, 28, 28), "expected a network of samples"),
        ("grey.png", (72,), "expected a network of samples"),
    ],
)
def test_what_is_no_picture_is_refused(pictures, name, shape, message):
    with pytest.raises(DataError, match=message):
        read_picture(pictures / name, shape)


def test_pictures_are_classified_from_the_command_line(pictures, capsys, no_data):
    assert main(["classify", str(pictures / "grey.png"), str(pictures / "colours.jpg")]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["file", "label", "exit", "score", "ms"]
    label, exit_number, score, ms = rows[0].split()[1:]
    assert label in "0123456789" and exit_number in "12" and float(score) >= 0 and float(ms) > 0
    assert len(rows) == 2


def test_a_bad_file_is_told_and_the_others_are_answered(pictures, capsys):
    files = [str(pictures / name) for name in ("text.png", "grey.png", "nothing.png")]
    assert main(["classify", *files]) == 2
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2 and "grey.png" in output.out
    assert [line.split(": ")[2] for line in output.err.splitlines()] == [files[0], files[2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "resnet-110-paper"], "expected released weights"),
        (["--engine", "abacus"], "engine: expected one of auto"),
        (["--thresholds", "1", "2"], "expected 1"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(pictures, capsys, options, message):
    assert main(["classify", str(pictures / "grey.png"), *options]) == 2
    assert message in capsys.readouterr().err
