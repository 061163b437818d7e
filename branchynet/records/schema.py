"""The keys of a run's record, what they mean, and the check that they are all there.

Accuracies and shares are percentages (`_pct`), times milliseconds a sample (`_ms`), thresholds entropies in nats. Exits
are in the order of the network, the last exit at the end. `end_to_end` is the time that a caller waits; `paper_clock`
counts the trunk only, as the timer in the authors' code does (`branchynet.bench.paths`). A record may hold more keys.
"""

import math
import numbers
import typing

from branchynet.gate import is_real, shown

SCHEMA = 2


class _Kind(typing.NamedTuple):
    """What one value is to be."""

    expected: str
    holds: typing.Callable  # value -> bool


class _OrNone(typing.NamedTuple):
    """A value that is None, or another one of `nothing`, where there is nothing to say; else of a template."""

    template: typing.Any
    nothing: tuple = (None,)


def _list_of(kind, words):
    return _Kind(f"a list of {words}", lambda value: isinstance(value, (list, tuple)) and all(map(kind.holds, value)))


_NUMBER = _Kind("a finite number", lambda value: is_real(value) and math.isfinite(value))
_WHOLE = _Kind("a whole number", lambda value: isinstance(value, numbers.Integral) and _NUMBER.holds(value))
_TEXT = _Kind("a text", lambda value: isinstance(value, str))
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_NUMBERS, _TEXTS = _list_of(_NUMBER, "finite numbers"), _list_of(_TEXT, "texts")
_ANYTHING = {}  # a dictionary, whatever is in it


def _keys(names, template):
    return dict.fromkeys(names.split(), template)


_NOTHING = (None, {})  # where nothing was measured
_LATENCY = _OrNone(_keys("mean p50 p90 p99", _NUMBER), _NOTHING)
# How many times faster than the baseline, and the bootstrap interval.
_GAIN = _OrNone(_keys("value low high", _NUMBER), _NOTHING)

# A setting of T, and what it gives.
_OUTCOME = {**_keys("thresholds exit_pct", _NUMBERS), "accuracy_pct": _NUMBER}
_ACCURACIES = _keys("accuracy validation_accuracy", _NUMBER)  # in [0, 1]
_EPOCH_OF_EXIT = {"exit": _WHOLE, **_ACCURACIES, **_keys("loss validation_loss", _NUMBER)}
_ENVIRONMENT = {
    **_keys("device? cpu? python? commit? utc?", _OrNone(_TEXT)),
    **_keys("threads? n_cores?", _OrNone(_WHOLE)),
    "load?": _keys("before? after?", _OrNone(_NUMBER)),
    "gpu?": _OrNone({"driver": _OrNone(_TEXT), "cuda": _TEXT}, _NOTHING),
    "versions?": _OrNone(_ANYTHING),
    "blas?": _OrNone(_TEXTS),
}

# A list of one template stands for any number of such entries. A key that ends in "?" may be missing.
_RUN = {
    "schema": _WHOLE,
    "command": _TEXT,  # the command line, without folders of the machine
    "name": _TEXT,  # of the network in the zoo, `networks.NETWORKS`
    **_keys("network branchy_network dataset engine preset", _TEXT),
    "seed": _WHOLE,
    "device": _TEXT,  # "cpu" or "gpu"
    "variant": _OrNone(_TEXT),  # which of several networks of that title
    "arguments": _ANYTHING,  # the parsed command line
    "environment": _ENVIRONMENT,  # versions, machine and commit: `environment`
    "training_settings": _keys("plain joint", _ANYTHING),
    "training_workers": _WHOLE,  # that shared the two steps
    # Of the run that the weights come from, or None: this.
    "trained_by": _OrNone({**_keys("command preset", _TEXT), "seed": _WHOLE, "environment": _ENVIRONMENT}),
    "plain_from": _OrNone(_ANYTHING),  # {command, seed, preset, step} of the run whose plain network step 2 began with
    # Accuracies on the test split. Gains end to end on the same engine are over the first baseline.
    "baselines": [{**_keys("name training engine", _TEXT), "accuracy_pct": _NUMBER, "latency_ms": _LATENCY}],
    # What an exit gives and costs if all samples leave there. Exits count from 1; count: samples timed.
    "exits": [
        {
            **_keys("exit count", _WHOLE),
            "accuracy_pct": _keys("validation test", _NUMBER),
            **_keys("latency_ms paper_clock_ms", _LATENCY),
        }
    ],
    # The sweep of T on each split; times are computed from the measured latency of each exit.
    "points": [
        {
            **_OUTCOME,
            "split": _TEXT,
            **_keys("end_to_end_ms paper_clock_ms end_to_end_gain paper_clock_gain", _NUMBER),
            "on_front": _FLAG,
        }
    ],
    "chosen": _WHOLE,  # index into points: the chosen setting, on the split that it was chosen on
    "choice": {
        **_keys("split rule", _TEXT),
        "goal": _OrNone(_TEXT),  # None where T was given
        "thresholds": _NUMBERS,
        "details": _ANYTHING,
        "chosen_on_test": _OUTCOME,  # what choosing on the test split, as the paper did, gives
        "uncertainty?": _OrNone(
            {
                **_keys("n_resamples none_pct another_T_pct", _NUMBER),
                **_keys("accuracy_pct relative_cost", _OrNone(_keys("low high", _NUMBER))),
            }
        ),
    },
    # The chosen setting, timed for real on the test split, and the plain network beside it.
    "measured": {
        **_OUTCOME,
        "split": _TEXT,
        "n_samples_timed": _WHOLE,
        "n_processes_timed?": _WHOLE,
        "timed_exit_pct?": _NUMBERS,
        "end_to_end_ms": _LATENCY,
        "paper_clock_ms": _LATENCY,
        "plain_ms": _LATENCY,  # on the same engine
        "plain_chainer_ms": _LATENCY,  # in plain Chainer
        "end_to_end_gain": _GAIN,  # over plain_ms
        "gain_over_chainer": _GAIN,  # end to end, over plain_chainer_ms
        "paper_clock_gain": _GAIN,  # over plain_chainer_ms
    },
    # Phase "plain" is step 1, the plain network alone, with one exit, the last; phase "joint" is step 2; phase "longer"
    # is the plain network trained on, as long as step 2. "piece" may be there: 1, and one more after each `resume` of
    # its phase.
    "history": [{"phase": _TEXT, **_keys("epoch iteration", _WHOLE), "elapsed_s": _NUMBER, "exits": [_EPOCH_OF_EXIT]}],
    # Hashes of what the figures are of; records of before them had none.
    "weights_sha256?": _keys("plain? weights? longer?", _TEXT),
    "dataset_sha256?": _keys("train? test?", _ANYTHING),
    "tuned_on_test?": _OrNone(_TEXTS),  # settings of training that were settled with a look at test figures
    # More settings of T, timed and compared (`branchynet.experiment.operating`); no T where none does what it is for.
    "operating_points?": _OrNone([{"name": _TEXT, "thresholds": _OrNone(_NUMBERS)}]),
}
# What is more in these settings that have a T, and in "measured" where there are any.
_COMPARED = {
    **_OUTCOME,
    "against_plain": _keys("difference_pct low high p", _NUMBER),
    **_keys("end_to_end_gain paper_clock_gain", _GAIN),
}


def check_run(run: dict) -> None:
    """Checks that a run's record is complete and fits together.

    Raises:
        ValueError: a key is missing (named with its place, such as ``measured.end_to_end_gain.low``), a value is of
            another kind, the schema is another one, or thresholds and exits do not fit each other.
    """
    schema = run.get("schema") if isinstance(run, dict) else None
    if schema != SCHEMA:
        hint = ": another version of this library wrote it" if isinstance(schema, int) else ""
        raise ValueError(f"run: expected a record with schema {SCHEMA}, got {schema!r}{hint}")
    _check(run, _RUN, "")
    points, n_exits = run["points"], len(run["exits"])
    for key in ("baselines", "exits", "points"):
        if not run[key]:
            raise ValueError(f"run: {key}: expected at least one entry, got none")
    if not 0 <= run["chosen"] < len(points):
        raise ValueError(f"run: chosen: expected an index into {len(points)} points, got {run['chosen']!r}")
    outcomes = {f"points[{index}]": point for index, point in enumerate(points)}
    outcomes.update({"measured": run["measured"], "choice.chosen_on_test": run["choice"]["chosen_on_test"]})
    compared = {f"operating_points[{index}]": point for index, point in enumerate(run.get("operating_points") or ())}
    if compared:
        compared = {where: point for where, point in compared.items() if point["thresholds"] is not None}
        compared["measured"] = run["measured"]
    for where, point in compared.items():
        _check(point, _COMPARED, where)
    for where, outcome in {**outcomes, **compared}.items():
        found = len(outcome["thresholds"]), len(outcome["exit_pct"])
        if found != (n_exits - 1, n_exits):
            expected = f"{n_exits - 1} thresholds and {n_exits} exit_pct"
            raise ValueError(f"run: {where}: expected {expected}, got {found[0]} and {found[1]}")


def _check(value, template, where):
    """Compares a value with its template, all the way down; `where` is the place of the value."""
    if isinstance(template, _OrNone):
        if value not in template.nothing:
            _check(value, template.template, where)
    elif isinstance(template, _Kind):
        if not template.holds(value):
            raise ValueError(f"run: {where}: expected {template.expected}, got {shown(value, 60)}")
    elif isinstance(template, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"run: {where}: expected a list, got {type(value).__name__}")
        for index, entry in enumerate(value):
            _check(entry, template[0], f"{where}[{index}]")
    else:
        _check_keys(value, template, where)


def _check_keys(value, template, where):
    if not isinstance(value, dict):
        raise ValueError(f"run: {where}: expected a dictionary, got {type(value).__name__}")
    for key, below in template.items():
        name = key.rstrip("?")
        place = f"{where}.{name}" if where else name
        if name in value:
            _check(value[name], below, place)
        elif name == key:
            raise ValueError(f"run: {place} is missing")
