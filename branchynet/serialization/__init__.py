"""Weights, snapshots, exit records and fitted measures as `.npz` without pickle, each with what it belongs to.

Nothing is ever unpickled, and what belongs to another network, run or measure is refused. The room knows nets,
transforms, measures and exit records; it knows no data set, no training and no command line.
"""

from branchynet.serialization.exit_records import load_exit_records, save_exit_records
from branchynet.serialization.measures import load_measure, save_measure
from branchynet.serialization.snapshots import load_snapshot, read_snapshot_description, save_snapshot
from branchynet.serialization.weights import (
    check_architecture,
    load_plain_network,
    load_transform,
    load_weights,
    read_description,
    save_weights,
)
