"""The keys of a run's record, and the check that they are all there; `branchynet.records` says what they mean."""

from __future__ import annotations

SCHEMA = 1

_ANY = None
_LATENCY = {"mean": _ANY, "p50": _ANY, "p90": _ANY, "p99": _ANY}
_GAIN = {"value": _ANY, "low": _ANY, "high": _ANY}
# A latency or a gain may be empty, or None, where nothing was measured.
_MAY_BE_EMPTY = {
    "latency_ms",
    "end_to_end_ms",
    "paper_clock_ms",
    "baseline_ms",
    "chainer_ms",
    "gain_over_chainer",
    "end_to_end_gain",
    "paper_clock_gain",
}


def _keys(names, **templates):
    return {**dict.fromkeys(names.split(), _ANY), **templates}


# A dictionary's keys must be there; a list of one template stands for any number of such entries.
_RUN = _keys(
    "schema network branchy_network dataset device engine preset seed command arguments environment knee",
    baselines=[_keys("name training accuracy_pct", latency_ms=_LATENCY)],
    exits=[
        _keys("exit count", accuracy_pct=_keys("validation test"), latency_ms=_LATENCY, paper_clock_ms=_LATENCY),
    ],
    points=[
        _keys(
            "thresholds split accuracy_pct exit_pct end_to_end_ms paper_clock_ms end_to_end_gain paper_clock_gain "
            "on_front"
        )
    ],
    choice=_keys("split rule thresholds", paper_way=_keys("thresholds accuracy_pct exit_pct")),
    measured=_keys(
        "thresholds split accuracy_pct exit_pct n_samples_timed",
        end_to_end_ms=_LATENCY,
        paper_clock_ms=_LATENCY,
        baseline_ms=_LATENCY,
        chainer_ms=_LATENCY,
        gain_over_chainer=_GAIN,
        end_to_end_gain=_GAIN,
        paper_clock_gain=_GAIN,
    ),
    history=[
        _keys(
            "phase epoch iteration elapsed_s",
            exits=[_keys("loss accuracy validation_loss validation_accuracy")],
        )
    ],
)


def check_run(run: dict) -> None:
    """Checks that a run's record is complete and fits together.

    Args:
        run: the record, as described in `branchynet.records`.

    Raises:
        ValueError: a key is missing (named with its place, such as ``measured.end_to_end_gain.low``), the schema is
            another one, or thresholds and exits do not fit each other.
    """
    _check_keys(run, _RUN, "")
    if run["schema"] != SCHEMA:
        raise ValueError(f"run: expected schema {SCHEMA}, got {run['schema']}")
    for key in ("baselines", "exits", "points"):
        if not run[key]:
            raise ValueError(f"run: {key}: expected at least one entry, got none")
    if not (isinstance(run["knee"], int) and 0 <= run["knee"] < len(run["points"])):
        raise ValueError(f"run: knee: expected an index into {len(run['points'])} points, got {run['knee']!r}")
    n_exits = len(run["exits"])
    settings = [(f"points[{index}]", point) for index, point in enumerate(run["points"])]
    for where, setting in [*settings, ("measured", run["measured"]), ("choice.paper_way", run["choice"]["paper_way"])]:
        found = len(setting["thresholds"]), len(setting["exit_pct"])
        if found != (n_exits - 1, n_exits):
            raise ValueError(
                f"run: {where}: expected {n_exits - 1} thresholds and {n_exits} exit_pct, got {found[0]} and {found[1]}"
            )


def _check_keys(value, template, where):
    """Compares a value with its template, all the way down; `where` is the place of the value."""
    if isinstance(template, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"run: {where}: expected a list, got {type(value).__name__}")
        for index, entry in enumerate(value):
            _check_keys(entry, template[0], f"{where}[{index}]")
        return
    if template is _ANY:
        return
    if not value and where.rsplit(".", 1)[-1] in _MAY_BE_EMPTY:
        return
    if not isinstance(value, dict):
        raise ValueError(f"run: {where or 'record'}: expected a dictionary, got {type(value).__name__}")
    for key, below in template.items():
        place = f"{where}.{key}" if where else key
        if key not in value:
            raise ValueError(f"run: {place} is missing")
        _check_keys(value[key], below, place)
