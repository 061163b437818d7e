"""Latency of every contender of a benchmark, at batch 1."""

from __future__ import annotations

from branchynet.plots import style


def latencies(result, path) -> None:
    """Draws mean latency per sample at batch 1 as bars, with a line up to the 90th percentile.

    Args:
        result: what `experiments/benchmark.py` writes: network, rows of {name, batch_size, ms_per_sample}, environment.
        path: of the .png.
    """
    rows = [row for row in result["rows"] if row["batch_size"] == min(r["batch_size"] for r in result["rows"])]
    rows.sort(key=lambda row: row["ms_per_sample"]["mean"], reverse=True)
    figure = style.new_figure(9.5, 1.2 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        latency = row["ms_per_sample"]
        early = "early exit" in row["name"]
        axes.barh(place, latency["mean"], color=style.BLUE if early else style.RED, height=0.62)
        axes.plot([latency["mean"], max(latency["p90"], latency["mean"])], [place, place], color="black", linewidth=1)
        end = max(latency["mean"], latency["p90"])
        axes.annotate(f"{latency['mean']:.3g}", (end, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_xlim(0, 1.15 * max(max(row["ms_per_sample"]["mean"], row["ms_per_sample"]["p90"]) for row in rows))
    title = (
        f"{result['network']}, one sample at a time, one thread ({result['environment']['device']}): mean, line to p90"
    )
    style.label(axes, "ms per sample, end to end", "", title)
    style.save(figure, path)
