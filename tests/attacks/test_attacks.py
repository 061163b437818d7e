"""Hostile, damaged and half-written files: an error that says what was expected, and a network that stays as it was."""

import contextlib
import json
import os
import signal

import numpy as np
import pytest
from tiny import moved, state_of, tiny_list, tiny_net

from branchynet import TrainedNet, load_plain_network, load_weights, save_weights
from branchynet.errors import OutputError, UserError

from .damage import DAMAGED, n_noticed, save
from .files import FILES, POSIX
from .kills import Killed, killed_after


@pytest.fixture
def stem(tmp_path):
    """A saved pair of files."""
    save(tmp_path / "w", seed=0)
    return tmp_path / "w"


@contextlib.contextmanager
def ends_within(seconds):
    """What hangs is ended, where there is SIGALRM: it stops even a read that waits."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*arguments):
        pytest.fail("it hangs")  # no OSError, which would be taken for one of the file

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What only `TrainedNet.load` needs, and what belongs to branches, which a plain network leaves alone.
ONLY_FOR_A_TRAINED_NET = {"transform 'zca'", "transform 'no such'", "class_names ['a']"}
ONLY_FOR_A_WHOLE_NET = {*ONLY_FOR_A_TRAINED_NET, "one array more"}


@pytest.mark.parametrize("name", [*FILES, *(POSIX if os.name == "posix" else ())])
def test_a_hostile_file_is_refused_and_changes_nothing(name, stem):
    {**FILES, **POSIX}[name](stem)
    net = tiny_net(seed=5)
    before = state_of(net)
    with ends_within(10), pytest.raises(UserError, match="expected|damaged|belong|describes"):
        TrainedNet.load(tiny_list(), stem)
    loads = [load_weights] * (name not in ONLY_FOR_A_TRAINED_NET) + [load_plain_network] * (
        name not in ONLY_FOR_A_WHOLE_NET
    )
    for load in loads:
        with ends_within(10), pytest.raises(UserError, match="expected|damaged|belong|describes"):
            load(net, stem)
        assert moved(before, state_of(net)) == set()


@pytest.mark.parametrize("stem", ["", ".", "/", None, 3, "a\0b", "x" * 300, "~nosuchuser/w"])
def test_a_path_that_is_none_is_refused(stem):
    with pytest.raises(UserError, match="expected"):
        load_weights(tiny_net(), stem)
    with pytest.raises(OutputError):
        save_weights(tiny_net(), stem)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    net = tiny_net()
    net.trunk[0].layers[0].W.array[0, 0, 0, 0] = value
    with pytest.raises(OutputError, match="expected finite weights, got NaN or infinity in trunk/0/0/W"):
        save_weights(net, tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("provenance", [{"loss": float("nan")}, {"net": object()}])
def test_a_provenance_that_json_cannot_say_leaves_the_older_pair(stem, provenance):
    with pytest.raises(OutputError, match="expected values that JSON knows"):
        save_weights(tiny_net(seed=1), stem, provenance)
    assert load_weights(tiny_net(seed=5), stem)["provenance"]["seed"] == 0


@pytest.mark.parametrize(("kind", "ending"), DAMAGED)
def test_damage_is_noticed_wherever_it_changes_anything(tmp_path, kind, ending):
    """At length: `make damage`."""
    every_byte_counts = ending == ".npz" and kind != "snapshot"  # a description has the checksum of the arrays' file
    assert n_noticed(tmp_path, kind, ending, n=200, seed=0) >= (200 if every_byte_counts else 100)


def operations_of_a_save(stem):
    with killed_after(None) as done:
        save(stem, seed=1)
    save(stem, seed=0)
    return len(done)


@pytest.mark.parametrize("is_first", [False, True])
def test_a_save_that_is_killed_anywhere_leaves_a_whole_pair(stem, is_first):
    n_operations, found = operations_of_a_save(stem), []
    assert n_operations > 10
    for number in range(n_operations):
        if is_first:
            for path in stem.parent.iterdir():
                path.unlink()
        else:
            save(stem, seed=0)
        with pytest.raises(Killed), killed_after(number):
            save(stem, seed=1)
        found.append(seed_that_is_there(stem))
        save(stem, seed=2)
        assert seed_that_is_there(stem) == 2
    old = None if is_first else 0
    assert set(found) == {old, 1} and found == sorted(found, key=lambda seed: seed == 1), "first the old, then the new"


def seed_that_is_there(stem):
    """Of the pair that is read, whose weights and description must agree; None if there is none."""
    net = tiny_net(seed=5)
    try:
        seed = load_weights(net, stem)["provenance"]["seed"]
    except UserError:
        return None
    assert moved(state_of(tiny_net(seed)), state_of(net)) == set()
    return seed


@contextlib.contextmanager
def no_room_for(name, monkeypatch):
    """A disk that is full when a file of that name is to take its place: an error that says so."""
    replace = os.replace

    def full(source, target):
        if os.path.basename(target) == name:
            raise OSError(28, "No space left on device")
        return replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match=f"cannot write .*{name}: No space left"):
        patch.setattr(os, "replace", full)
        yield


@pytest.mark.parametrize(
    ("name", "seed", "files"),
    [("w.npz", 0, ["w.json", "w.npz"]), ("w.json", 1, ["w.json", "w.next.json", "w.npz"])],
)
def test_a_full_disk_in_the_middle_leaves_one_of_the_two_pairs(stem, monkeypatch, name, seed, files):
    with no_room_for(name, monkeypatch):
        save(stem, seed=1)
    assert seed_that_is_there(stem) == seed
    assert sorted(path.name for path in stem.parent.iterdir()) == files


@pytest.mark.parametrize("name", ["w.npz", "w.next.json"])
def test_a_full_disk_at_the_first_save_leaves_nothing(tmp_path, monkeypatch, name):
    with no_room_for(name, monkeypatch):
        save(tmp_path / "w", seed=1)
    assert list(tmp_path.iterdir()) == []


def test_older_formats_are_read_and_say_less(stem):
    path = stem.with_suffix(".json")
    description = json.loads(path.read_text())
    description.pop("description_sha256")
    for version in (1, 2):
        path.write_text(json.dumps({**description, "format": version}))
        assert load_weights(tiny_net(seed=5), stem)["format"] == version
    path.write_text(json.dumps(description))
    with pytest.raises(UserError, match="description_sha256 differs"):
        load_weights(tiny_net(seed=5), stem)
