"""A pair of files, whatever it holds: what is missing is named, and no file fits another partner.

Damaged bytes, and saves that end in the middle, are tried in tests/attacks.
"""

import json

import pytest
from tiny import tiny_logits, tiny_net

from branchynet import load_weights, save_weights
from branchynet.confidence.direct import Energy
from branchynet.errors import OutputError, SnapshotError
from branchynet.serialization import load_exit_records, load_measure, save_exit_records, save_measure
from branchynet.thresholds import ExitRecords

# {what a pair holds: (what saves it, and what loads it, by the path without an ending)}
KINDS = {
    "weights": (lambda stem: save_weights(tiny_net(), stem), lambda stem: load_weights(tiny_net(seed=1), stem)),
    "exit records": (
        lambda stem: save_exit_records({"entropy": ExitRecords.of(*tiny_logits())}, stem),
        load_exit_records,
    ),
    "measure": (lambda stem: save_measure(Energy(), stem), load_measure),
}


@pytest.fixture(params=KINDS)
def kind(request):
    """What a pair holds, what saves it and what loads it."""
    return request.param, *KINDS[request.param]


@pytest.mark.parametrize("missing", ["w.npz", "w.json"])
def test_a_missing_file_is_named(kind, missing, tmp_path):
    what, save, load = kind
    save(tmp_path / "w")
    (tmp_path / missing).unlink()
    with pytest.raises(SnapshotError, match=rf"{what}: expected w\.npz and w\.json in {tmp_path}: .*{missing}"):
        load(tmp_path / "w")


def test_the_files_of_two_pairs_do_not_fit_each_other(tmp_path):
    for seed, name in enumerate(("w", "other")):
        save_weights(tiny_net(seed), tmp_path / name)
    (tmp_path / "other.npz").replace(tmp_path / "w.npz")
    with pytest.raises(SnapshotError, match=r"w\.npz is not the file that w\.json describes \(sha256 differs\)"):
        load_weights(tiny_net(), tmp_path / "w")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda description: '{"format": 3,', "expected JSON, got a damaged file"),
        (lambda description: json.dumps({**description, "sha256": "0"}), "is damaged: it is not what was saved"),
        (lambda description: json.dumps({**description, "provenance": {"a": 1}}), "is damaged: it is not what was"),
    ],
)
def test_a_description_that_was_changed_by_hand_is_refused(kind, spoil, message, tmp_path):
    what, save, load = kind
    save(tmp_path / "w")
    path = tmp_path / "w.json"
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.raises(SnapshotError, match=f"{what}: .*w.json.*{message}"):
        load(tmp_path / "w")


def test_what_a_description_says_counts_not_the_order_of_its_keys_nor_its_spaces(tmp_path):
    save_weights(tiny_net(), tmp_path / "w", {"seed": 0, "epochs": 2})
    path = tmp_path / "w.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items())), indent=7))
    assert load_weights(tiny_net(seed=1), tmp_path / "w")["provenance"] == {"seed": 0, "epochs": 2}


def test_a_folder_that_is_not_there_is_reported(kind, tmp_path):
    _, save, _ = kind
    with pytest.raises(OutputError, match="cannot write .*No such file"):
        save(tmp_path / "missing" / "w")
