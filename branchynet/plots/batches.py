"""Throughput by batch size of several machines, a GPU beside a CPU."""

from __future__ import annotations

from branchynet.plots import style

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)


def by_batch_size(results, path) -> None:
    """Draws samples a second against the batch size, of each record for each place that samples lie in: early exit on
    the engine that answers its largest batches fastest, the plain network on the same, and plain Chainer.

    Args:
        results: what `experiments/benchmark.py` writes, one or more records of one network.
        path: of the .png.
    """
    figure = style.new_figure(9.0, 5.5)
    axes = figure.subplots()
    places = [(result, place) for result in results for place in dict.fromkeys(map(_place, result["rows"]))]
    for (result, place), colour in zip(places, _COLOURS):
        rows = [row for row in result["rows"] if _place(row) == place]
        words = f"{result['environment']['device']}, samples in memory of the {place}"
        early = _fastest_early_exit(rows)
        names = {early: "-", early.replace("early exit", "plain net"): "--", "plain Chainer, plain net": ":"}
        for name, line in names.items():
            points = sorted(
                (row["batch_size"], 1e3 / row["ms_per_sample"]["mean"]) for row in rows if row["name"] == name
            )
            if points:
                axes.plot(*zip(*points), line, color=colour, marker=".", label=f"{name}: {words}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    style.label(axes, "samples a batch", "samples a second", results[0]["network"])
    style.legend_below(axes, columns=1)
    style.save(figure, path)


def _place(row):
    """The host's memory, where a record says nothing: there was no other."""
    return row.get("samples_in", "host")


def _fastest_early_exit(rows):
    early = [row for row in rows if row["name"].endswith("early exit")]
    largest = max(row["batch_size"] for row in early)
    return min((row["ms_per_sample"]["mean"], row["name"]) for row in early if row["batch_size"] == largest)[1]
