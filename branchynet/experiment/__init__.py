"""One experiment from its command line to its table: training or earlier weights, T, timing, records, figures.

A script in `experiments/` says which networks, data and settings (`Experiment`), and hands over to `main`. Behind the
command line everything is asked of a `Request`. The room puts the others together; no other room knows it.
"""

from branchynet.experiment.experiment import main
from branchynet.experiment.request import Experiment, Preset, Request
from branchynet.experiment.scripts import (
    add_quiet,
    existing_folder,
    finite_number,
    nonempty_path,
    positive_number,
    seed_number,
    whole_number,
    writing_into,
)
