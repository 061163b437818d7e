"""Weights as .npz + JSON: a round trip, and every way in which a file may not be what it should."""

import chainer
import numpy as np
import pytest
from tiny import SHAPE, drawn_net, moved, state_of, tiny_list, tiny_net

from branchynet import Branch, BranchyNet, load_plain_network, load_weights, save_weights
from branchynet.errors import SnapshotError
from branchynet.serialization import read_snapshot_description
from branchynet.serialization.arrays import arrays_of, read_into


def test_weights_survive_a_round_trip(tmp_path, device):
    saved, loaded = (tiny_net(seed, device) for seed in (0, 1))
    save_weights(saved, tmp_path / "w", {"seed": 0})
    description = load_weights(loaded, tmp_path / "w")
    assert moved(state_of(saved), state_of(loaded)) == set()
    assert (description["format"], description["provenance"]) == (3, {"seed": 0})
    assert description["loss_weights"] == [1.0, 1.0, 0.3]


def test_what_is_none_is_none_again():
    class Holder(chainer.Link):
        """One value that may be None, as an optimizer's before its first step."""

        value = None

        def serialize(self, serializer):
            self.value = serializer("value", self.value)

    saved, loaded = Holder(), Holder()
    loaded.value = np.ones(2)
    read_into("memory", arrays_of(saved), loaded)
    assert loaded.value is None
    saved.value = np.zeros(2)
    read_into("memory", arrays_of(saved), loaded)
    assert loaded.value.tolist() == [0, 0]


def test_running_statistics_are_saved(tmp_path):
    def net():
        return BranchyNet([chainer.links.BatchNormalization(4), Branch([chainer.links.Linear(4, 2)])])

    saved, loaded = net(), net()
    with chainer.using_config("train", True):
        saved(np.arange(8, dtype=np.float32).reshape(2, 4))
    save_weights(saved, tmp_path / "w")
    load_weights(loaded, tmp_path / "w")
    assert moved(state_of(saved), state_of(loaded)) == set() and saved.trunk[0].layers[0].avg_mean.any()


def _with_branches_elsewhere(seed):
    """The plain network of `tiny_net` with one branch, at the end of the second stage, and other initial weights."""
    return drawn_net(lambda: [layer for n, layer in enumerate(tiny_list()) if n != 2], SHAPE, seed)


def test_a_plain_network_is_taken_over_by_a_net_with_branches_elsewhere(tmp_path):
    saved, net = tiny_net(seed=0), _with_branches_elsewhere(seed=1)
    branch_before = state_of(net.exits[0])
    save_weights(saved, tmp_path / "w", {"seed": 0})
    assert load_plain_network(net, tmp_path / "w")["provenance"] == {"seed": 0}
    x = np.random.default_rng(0).standard_normal((5, *SHAPE)).astype(np.float32)
    with chainer.using_config("train", False):
        np.testing.assert_array_equal(net.plain()(x).array, saved.plain()(x).array)
    assert moved(branch_before, state_of(net.exits[0])) == set()


FOUR_CLASSES = [Branch([chainer.links.Linear(8, 4)])]
ONE_LAYER_MORE = [chainer.links.Linear(8, 8), tiny_list()[-1]]


@pytest.mark.parametrize(
    ("load", "end", "message"),
    [
        (load_plain_network, FOUR_CLASSES, r"holds another plain network: expected .*\(4, 8\).*, got .*\(3, 8\)"),
        (load_plain_network, ONE_LAYER_MORE, r"holds another plain network: expected .*\(8, 8\).*, got .*\(3, 8\)"),
        (load_weights, FOUR_CLASSES, r"another network: at exit 3, branch: expected .*\(4, 8\).*, got .*\(3, 8\)"),
    ],
)
def test_another_network_is_refused_with_the_first_difference_and_changes_nothing(tmp_path, load, end, message):
    save_weights(tiny_net(), tmp_path / "w")
    other = BranchyNet([*tiny_list()[:-1], *end])
    before = state_of(other)
    with pytest.raises(SnapshotError, match=rf"w\.npz .*{message}"):
        load(other, tmp_path / "w")
    assert moved(before, state_of(other)) == set()


@pytest.mark.parametrize("name", ["w.npz", "w.json"])
def test_a_stem_with_an_ending_is_refused(tmp_path, name):
    with pytest.raises(SnapshotError, match="expected a path with a name, without an ending"):
        load_weights(tiny_net(), tmp_path / name)


@pytest.mark.parametrize("contents", [b"", b"broken", b"PK\x03\x04broken"])
def test_a_damaged_file_is_refused_without_advice_to_unpickle(tmp_path, contents):
    path = tmp_path / "plain.snapshot.npz"
    path.write_bytes(contents)
    with pytest.raises(SnapshotError, match=r"expected a readable \.npz file, got a damaged one") as error_info:
        read_snapshot_description(path)
    assert "pickle" not in str(error_info.value)
