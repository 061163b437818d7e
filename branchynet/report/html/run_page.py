"""The report of one run: what of its record and exit records goes into the template, and where."""

import base64

import numpy as np

from branchynet.confidence import expected_calibration_error, reliability_bins
from branchynet.errors import ReportError
from branchynet.records import write_text
from branchynet.report import formats
from branchynet.report.epochs import training_rows
from branchynet.report.html.images import IN_A_ROW, SHOWN_CHANGES, tiles
from branchynet.report.html.rendering import charts, render
from branchynet.report.rows import CLOCKS, PAPERS_CLOCK, SAME_ENGINE, baseline_rows, our_rows, published_rows
from branchynet.report.table import OPERATING_HEADINGS, operating_cells, operating_points

_SUMMARY = ("Source", "Network", "Clock", "Acc. (%)", "Time (ms)", "Gain", "Thrshld. T", "Exit (%)")


def write_report(path, run: dict, published: dict, by_measure: dict, images, class_names) -> None:
    """Writes the report of a run: one HTML file that makes no request.

    Args:
        path: the file.
        run: a run's record (`branchynet.records`).
        published: what `branchynet.records.load_published` reads.
        by_measure: `branchynet.thresholds.ExitRecords` of the test samples by "entropy" and by "max-probability".
        images: (N, 1 or 3, H, W) uint8, these samples.
        class_names: names of the classes.

    Raises:
        ReportError: a package is not installed, or the exit records are not those of the run.
        OutputError: the file cannot be written.
    """
    test = by_measure["entropy"]
    check_belongs(run, test)
    specifications, script = charts()
    exits = [f"exit {entry['exit']}" for entry in run["exits"]]
    exits[-1] += " (last)"
    page = render(
        "run.html",
        run=run,
        machine=formats.machine(run),
        commit=formats.commit(run["environment"]),
        versions=formats.versions(run["environment"]),
        variant=formats.variant(run),
        exits=exits,
        class_names=class_names,
        n_samples=len(test.labels),
        summary=(_SUMMARY, _summary(run, published)),
        operating=(OPERATING_HEADINGS, [operating_cells(point) for point in operating_points(run)]),
        latencies=_latencies(run),
        calibration=_calibration_errors(by_measure),
        settings=_settings(run),
        charts=specifications,
        vega=script,
        data=_data(run, by_measure, images, class_names),
    )
    write_text(path, page)


def check_belongs(run: dict, test) -> None:
    """Checks that exit records give every test point of a run's record, to the last sample.

    Raises:
        ReportError: they do not.
    """
    points = [point for point in run["points"] if point["split"] == "test"]
    if test.n_exits != len(run["exits"]):
        raise ReportError(f"exit records: expected those of {len(run['exits'])} exits, got {test.n_exits}")
    outcomes = test.evaluate([point["thresholds"] for point in points])
    for point, accuracy, shares in zip(points, outcomes.accuracies, outcomes.exit_shares):
        expected = np.array([point["accuracy_pct"], *point["exit_pct"]])
        found = 100 * np.array([accuracy, *shares])
        if np.abs(expected - found).max() > 1e-6:
            raise ReportError(
                f"exit records: expected those of the run, with {expected[0]:.2f} % and exits "
                f"{formats.exit_shares(expected[1:], 2)} at T = {formats.thresholds(point['thresholds'])}, got "
                f"{found[0]:.2f} % and {formats.exit_shares(found[1:], 2)}: other weights, images or arithmetic"
            )


def _summary(run, published):
    rows = [*our_rows(run), *baseline_rows(run), *published_rows(run, published)]
    return [[row.source, row.network, row.clock.words if row.clock else "end to end", *row.cells(2)] for row in rows]


def _latencies(run):
    """Of each exit the latency if a sample leaves there, as text: mean, p50, p90, p99, and the paper's clock."""
    keys = ("mean", "p50", "p90", "p99")
    return [
        [*(formats.ms((entry["latency_ms"] or {}).get(key)) for key in keys), formats.mean_ms(entry["paper_clock_ms"])]
        for entry in run["exits"]
    ]


def _settings(run):
    """The settings of T that were timed for real: name, thresholds, and the figures as text."""
    named = [{"name": "chosen", **run["measured"]}, *(run.get("operating_points") or [])]
    return [
        {
            "name": setting["name"],
            "thresholds": setting["thresholds"],
            "ms": formats.mean_ms(setting[SAME_ENGINE.branchy_ms]),
            "gains": [f"{clock.words} {formats.gain(setting[clock.gain])}" for clock in CLOCKS],
        }
        for setting in named
        if setting["thresholds"] is not None
    ]


def _data(run, by_measure, images, class_names):
    """What the page's script reads, JSON-able. Arrays are base64 of their bytes, little-endian."""
    test, chosen = by_measure["entropy"], run["choice"]["thresholds"]
    return {
        "classes": list(class_names),
        "chosen": chosen,
        "highest": float(np.log(max(2, len(class_names)))),
        "scores": [_encoded(row, "<f4") for row in test.scores],
        "predictions": [_encoded(row, "<u2") for row in test.predictions],
        "labels": _encoded(test.labels, "<u2"),
        "costs": _costs(run),
        "settings": _settings(run),
        "images": tiles(images, test, chosen),
        "shown": {"row": IN_A_ROW, "changes": SHOWN_CHANGES},
        "points": _points(run),
        "marks": _marks(run),
        "training": [{**row, "exit": f"exit {row['exit']}"} for row in training_rows(run)],
        "reliability": _reliability(by_measure),
    }


def _encoded(array, kind):
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode("ascii")


def _costs(run):
    """Mean times in ms: of leaving at each exit by both clocks, and of the baselines that gains are over."""
    chainer = next((entry for entry in run["baselines"] if entry["engine"] == "chainer"), {})
    return {
        SAME_ENGINE.branchy_ms: [formats.mean_of(entry["latency_ms"]) for entry in run["exits"]],
        PAPERS_CLOCK.branchy_ms: [formats.mean_of(entry["paper_clock_ms"]) for entry in run["exits"]],
        SAME_ENGINE.plain_ms: formats.mean_of(run["baselines"][0]["latency_ms"]),
        PAPERS_CLOCK.plain_ms: formats.mean_of(chainer.get("latency_ms")),
    }


def _points(run):
    """The sweep on the test samples; times are computed from the measured latency of each exit."""
    return [
        {
            "ms": point[SAME_ENGINE.branchy_ms],
            "accuracy": point["accuracy_pct"],
            "front": point["on_front"],
            "thresholds": point["thresholds"],
            "T": formats.thresholds(point["thresholds"]),
            "exits": formats.exit_shares(point["exit_pct"], 1),
        }
        for point in run["points"]
        if point["split"] == "test"
    ]


def _marks(run):
    """What stands beside the sweep: the baselines on the engine of the run, and the chosen T as it was timed."""
    rows = zip(baseline_rows(run), run["baselines"])
    marks = [(row.network, row.time_ms, row.accuracy_pct) for row, entry in rows if entry["engine"] == run["engine"]]
    (chosen,) = our_rows(run, [SAME_ENGINE])
    marks.append(("chosen T, timed", chosen.time_ms, chosen.accuracy_pct))
    return [{"name": name, "ms": ms, "accuracy": accuracy} for name, ms, accuracy in marks if ms]


def _bins(by_measure):
    """For each exit the bins of its confidence, the largest probability, if every sample left there."""
    by_probability = by_measure["max-probability"]
    return [reliability_bins(1 - scores, right) for scores, right in zip(by_probability.scores, by_probability.right)]


def _reliability(by_measure):
    return [
        {"exit": f"exit {number}", **{key: 100 * entry[key] for key in ("confidence", "accuracy")}, "n": entry["count"]}
        for number, bins in enumerate(_bins(by_measure), start=1)
        for entry in bins
    ]


def _calibration_errors(by_measure):
    """The expected calibration error of each exit in points, as text."""
    return [f"{100 * expected_calibration_error(bins):.2f}" for bins in _bins(by_measure)]
