"""The keys of a run's record, what they mean, and the check that they are all there.

Accuracies and shares are percentages (`_pct`), times milliseconds a sample (`_ms`), thresholds entropies in nats. Exits
are in the order of the network, the last exit at the end. `end_to_end` is the time that a caller waits; `paper_clock`
counts the trunk only, as the timer in the authors' code does (`branchynet.bench.paths`). A record may hold more keys.
"""

SCHEMA = 2

_ANY = None


def _keys(names):
    return dict.fromkeys(names.split(), _ANY)


# These two may be empty, or None, where nothing was measured.
_LATENCY = _keys("mean p50 p90 p99")
_GAIN = _keys("value low high")  # how many times faster than the baseline, and the bootstrap interval

_OUTCOME = _keys("thresholds accuracy_pct exit_pct")  # a setting of T, and what it gives
_EPOCH_OF_EXIT = _keys("exit loss accuracy validation_loss validation_accuracy")  # accuracies in [0, 1]

# A list of one template stands for any number of such entries.
_RUN = {
    **_keys("schema command"),  # the command line is text, without folders of the machine
    **_keys("name"),  # of the network in the zoo, `networks.NETWORKS`
    **_keys("network branchy_network dataset engine preset seed"),
    **_keys("device"),  # "cpu" or "gpu"
    **_keys("variant"),  # which of several networks of that title, as text, or None
    **_keys("arguments"),  # the parsed command line
    **_keys("environment"),  # versions, machine and commit: `environment`
    **_keys("training_settings training_workers"),  # {plain, joint}, and how many workers shared the two steps
    **_keys("trained_by"),  # {command, preset, seed, environment} of the run that the weights come from, or None: this
    **_keys("plain_from"),  # {command, seed, preset, step} of the run whose plain network step 2 began with, or None
    # Accuracies on the test split. Gains end to end on the same engine are over the first baseline.
    "baselines": [{**_keys("name training engine accuracy_pct"), "latency_ms": _LATENCY}],
    # What an exit gives and costs if all samples leave there. Exits count from 1; count: samples timed.
    "exits": [
        {
            **_keys("exit count"),
            "accuracy_pct": _keys("validation test"),
            "latency_ms": _LATENCY,
            "paper_clock_ms": _LATENCY,
        }
    ],
    # The sweep of T on each split; times are computed from the measured latency of each exit.
    "points": [{**_OUTCOME, **_keys("split end_to_end_ms paper_clock_ms end_to_end_gain paper_clock_gain on_front")}],
    **_keys("chosen"),  # index into points: the chosen setting, on the split that it was chosen on
    # goal: text, or None where T was given; chosen_on_test: what choosing on the test split, as the paper did, gives.
    "choice": {**_keys("split goal rule thresholds details"), "chosen_on_test": _OUTCOME},
    # The chosen setting, timed for real on the test split, and the plain network beside it.
    "measured": {
        **_OUTCOME,
        **_keys("split n_samples_timed"),
        "end_to_end_ms": _LATENCY,
        "paper_clock_ms": _LATENCY,
        "plain_ms": _LATENCY,  # on the same engine
        "plain_chainer_ms": _LATENCY,  # in plain Chainer
        "end_to_end_gain": _GAIN,  # over plain_ms
        "gain_over_chainer": _GAIN,  # end to end, over plain_chainer_ms
        "paper_clock_gain": _GAIN,  # over plain_chainer_ms
    },
    # Since the records of before it had none, these are not asked for: weights_sha256 {plain, weights, longer}, and
    # dataset_sha256, of what the figures are of; tuned_on_test, names of the settings of training that were settled
    # with a look at test figures; piece, in an entry of "history": 1, and one more after each `resume` of its phase.
    # More settings of T, timed and compared, may be there: "operating_points" (`branchynet.experiment.operating`).
    # Phase "plain" is step 1, the plain network alone, with one exit, the last; phase "joint" is step 2; phase "longer"
    # is the plain network trained on, as long as step 2.
    "history": [{**_keys("phase epoch iteration elapsed_s"), "exits": [_EPOCH_OF_EXIT]}],
}


def check_run(run: dict) -> None:
    """Checks that a run's record is complete and fits together.

    Raises:
        ValueError: a key is missing (named with its place, such as ``measured.end_to_end_gain.low``), the schema is
            another one, or thresholds and exits do not fit each other.
    """
    schema = run.get("schema") if isinstance(run, dict) else None
    if schema != SCHEMA:
        hint = ": another version of this library wrote it" if isinstance(schema, int) else ""
        raise ValueError(f"run: expected a record with schema {SCHEMA}, got {schema!r}{hint}")
    _check_keys(run, _RUN, "")
    points, n_exits = run["points"], len(run["exits"])
    for key in ("baselines", "exits", "points"):
        if not run[key]:
            raise ValueError(f"run: {key}: expected at least one entry, got none")
    if not (isinstance(run["chosen"], int) and 0 <= run["chosen"] < len(points)):
        raise ValueError(f"run: chosen: expected an index into {len(points)} points, got {run['chosen']!r}")
    outcomes = {f"points[{index}]": point for index, point in enumerate(points)}
    outcomes.update({"measured": run["measured"], "choice.chosen_on_test": run["choice"]["chosen_on_test"]})
    for where, outcome in outcomes.items():
        found = len(outcome["thresholds"]), len(outcome["exit_pct"])
        if found != (n_exits - 1, n_exits):
            expected = f"{n_exits - 1} thresholds and {n_exits} exit_pct"
            raise ValueError(f"run: {where}: expected {expected}, got {found[0]} and {found[1]}")


def _check_keys(value, template, where):
    """Compares a value with its template, all the way down; `where` is the place of the value."""
    if template is _ANY or (not value and template in (_LATENCY, _GAIN)):
        return
    is_list = isinstance(template, list)
    if not isinstance(value, (list, tuple) if is_list else dict):
        expected = "list" if is_list else "dictionary"
        raise ValueError(f"run: {where}: expected a {expected}, got {type(value).__name__}")
    if is_list:
        for index, entry in enumerate(value):
            _check_keys(entry, template[0], f"{where}[{index}]")
        return
    for key, below in template.items():
        place = f"{where}.{key}" if where else key
        if key not in value:
            raise ValueError(f"run: {place} is missing")
        _check_keys(value[key], below, place)
