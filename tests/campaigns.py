"""The long campaigns, and what they found, when and on which commit: `tests/campaigns.json`, which docs/trust.md shows.

    python tests/campaigns.py damage         # 105,000 damaged files: weights, measures, exit records, snapshots
    python tests/campaigns.py kills          # a training ended at every operation on files, then resumed
    python tests/campaigns.py kills-by-two   # the same by two processes, really killed

The tests try a sample of the same. A campaign that is stopped goes on where it was, on the same commit.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
import pytest
from attacks import damage, kills
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATH = ROOT / "tests" / "campaigns.json"
# What is done of a campaign that was stopped.
PROGRESS = ROOT / ".pytest_cache"
N_DAMAGED, AT_A_TIME = 15_000, 250


def commit():
    """The commit that is checked out."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return git.stdout.strip()


def record(name, **figures):
    """Keeps what a campaign found, in place of what it found before."""
    made = {**read(), name: {"date": datetime.date.today().isoformat(), "commit": commit(), **figures}}
    PATH.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read():
    """{name of a campaign: what it found}."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}


def found(name, keys, work):
    """What `work(key)` finds for each of the keys; an error of its own, as text, is one of the things to be found."""
    path = PROGRESS / f"{name}-{commit()}.json"
    done = json.loads(path.read_text()) if path.exists() else []
    for key in tqdm(keys[len(done) :], name, len(keys), initial=len(done)):
        try:
            done.append(work(*key))
        except Exception as error:
            done.append(f"{key}: {type(error).__name__}: {error}"[:500])
            print(done[-1], flush=True)
        PROGRESS.mkdir(exist_ok=True)
        path.with_suffix(".next").write_text(json.dumps(done))
        os.replace(path.with_suffix(".next"), path)
    return done


def damaged_files():
    """Bytes of every file that a training leaves, damaged at random: noticed, or the same is read."""
    keys = [(*file, seed) for seed in range(N_DAMAGED // AT_A_TIME) for file in damage.DAMAGED]

    def work(kind, ending, seed):
        with tempfile.TemporaryDirectory() as folder:
            return damage.n_noticed(pathlib.Path(folder), kind, ending, AT_A_TIME, seed)

    results = found("damage", keys, work)
    errors = [result for result in results if isinstance(result, str)]
    n_noticed = sum(result for result in results if not isinstance(result, str))
    record("damage", tried=AT_A_TIME * len(keys), noticed=n_noticed, errors=errors)


def killed_trainings(name, whole_training, check_resumption):
    """A training ended before each of its operations on files, and resumed: the same weights and history."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        whole, operations = whole_training(folder / "whole")

        def work(number):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                check_resumption(pathlib.Path(out) / "run", number, whole)

        results = found(name, [(number,) for number in range(len(operations))], work)
    n, errors = len(results), [result for result in results if result is not None]
    record(name.replace("-", " "), operations=n, tried=n, equal=n - len(errors), errors=errors)


_BY_ONE = ("kills", kills.whole_training, kills.check_resumption)
# Of two processes, the first is ended by SIGKILL.
_BY_TWO = ("kills-by-two", kills.whole_training_by_two, kills.check_resumption_by_two)
CAMPAIGNS = {
    "damage": damaged_files,
    "kills": lambda: killed_trainings(*_BY_ONE),
    "kills-by-two": lambda: killed_trainings(*_BY_TWO),
}


def main():
    """Runs one campaign, and keeps what it finds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("campaign", choices=list(CAMPAIGNS))
    name = parser.parse_args().campaign
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # what it is for, a power cut, is not what is tried here
        CAMPAIGNS[name]()
    errors = read()[name.replace("-", " ")]["errors"]
    sys.exit(f"{len(errors)} of them went wrong" if errors else 0)


if __name__ == "__main__":
    main()
