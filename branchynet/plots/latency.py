"""Latency of every contender of a benchmark, and whether each early exit pays for its head."""

from __future__ import annotations

from branchynet.plots import style


def latencies(result, path) -> None:
    """Draws mean latency per sample at batch 1 as bars, with a line up to the 90th percentile; below, for each early
    exit, the share of the samples reaching it that leave there, and the share from which on its head pays.

    Args:
        result: what `experiments/benchmark.py` writes: network, limits, rows of {name, batch_size, ms_per_sample},
            environment.
        path: of the .png.
    """
    rows = [row for row in result["rows"] if row["batch_size"] == min(r["batch_size"] for r in result["rows"])]
    rows.sort(key=lambda row: row["ms_per_sample"]["mean"], reverse=True)
    early_exits = result["limits"]["early_exits"]
    heights = [0.9 + 0.42 * len(rows), 0.9 + 0.42 * len(early_exits)]
    figure = style.new_figure(9.5, sum(heights))
    bars, shares = figure.subplots(2, 1, height_ratios=heights)
    _draw_latencies(bars, rows)
    title = (
        f"{result['network']}, one sample at a time, one thread ({result['environment']['device']}): mean, line to p90"
    )
    style.label(bars, "ms per sample, end to end", "", title)
    _draw_break_even(shares, early_exits)
    title = f"the multiply-adds allow a gain of {result['limits']['multiply_add_limit_of_gain']:.2f}x at this exit mix"
    style.label(shares, "% of the samples that reach the exit; line: its head pays from here on", "", title)
    style.save(figure, path)


def _draw_latencies(axes, rows):
    for place, row in enumerate(rows):
        latency = row["ms_per_sample"]
        early = "early exit" in row["name"]
        axes.barh(place, latency["mean"], color=style.BLUE if early else style.RED, height=0.62)
        end = max(latency["mean"], latency["p90"])
        axes.plot([latency["mean"], end], [place, place], color="black", linewidth=1)
        axes.annotate(f"{latency['mean']:.3g}", (end, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_xlim(0, 1.15 * max(max(row["ms_per_sample"]["mean"], row["ms_per_sample"]["p90"]) for row in rows))


def _draw_break_even(axes, early_exits):
    for place, entry in enumerate(reversed(early_exits)):
        leaving, needed = entry["leaving_pct_of_reaching"], entry["break_even_pct_of_reaching"]
        axes.barh(place, leaving, color=style.GREEN if leaving >= needed else style.GREY, height=0.62)
        axes.plot([needed, needed], [place - 0.42, place + 0.42], color="black", linewidth=2)
        axes.annotate(f"{leaving:.1f}", (leaving, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(early_exits)), [f"leave at exit {entry['exit']}" for entry in reversed(early_exits)])
    axes.set_xlim(0, 110)
