"""Latency of every contender of a benchmark, and whether each early exit pays for its head."""

from branchynet.plots import style


def latencies(result: dict, path) -> None:
    """Draws mean latency per sample at the smallest batch size as bars, with a line up to the 90th percentile; below,
    for each early exit, the share of the samples reaching it that leave there, and the share from which its head pays.

    Args:
        result: what `experiments/benchmark.py` writes: network, limits, rows of {name, batch_size, ms_per_sample},
            environment.
        path: of the .png.
    """
    smallest = min(row["batch_size"] for row in result["rows"])
    rows = [row for row in result["rows"] if row["batch_size"] == smallest and row.get("samples_in", "host") == "host"]
    rows.sort(key=lambda row: row["ms_per_sample"]["mean"], reverse=True)
    limits = result["limits"]
    heights = [0.9 + 0.42 * len(rows), 0.9 + 0.42 * len(limits["early_exits"])]
    figure = style.new_figure(9.5, sum(heights))
    bars, shares = figure.subplots(2, 1, height_ratios=heights)
    _draw_latencies(bars, rows)
    words = f"one sample at a time, one thread ({result['environment']['device']}): mean, line to p90"
    style.label(bars, "ms per sample, end to end", "", f"{result['network']}, {words}")
    _draw_break_even(shares, limits["early_exits"])
    title = f"the multiply-adds allow a gain of {limits['multiply_add_limit_of_gain']:.2f}x at this exit mix"
    style.label(shares, "% of the samples that reach the exit; line: its head pays from here on", "", title)
    style.save(figure, path)


def _draw_latencies(axes, rows):
    for place, row in enumerate(rows):
        mean, p90 = (row["ms_per_sample"][key] for key in ("mean", "p90"))
        colour = style.BLUE if "early exit" in row["name"] else style.RED
        style.bar(axes, place, mean, f"{mean:.3g}", colour, end=max(mean, p90))
        axes.plot([mean, max(mean, p90)], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_xlim(0, 1.15 * max(max(row["ms_per_sample"]["mean"], row["ms_per_sample"]["p90"]) for row in rows))


def _draw_break_even(axes, early_exits):
    for place, entry in enumerate(reversed(early_exits)):
        leaving, needed = entry["leaving_pct_of_reaching"], entry["break_even_pct_of_reaching"]
        style.bar(axes, place, leaving, f"{leaving:.1f}", style.GREEN if leaving >= needed else style.GREY)
        axes.plot([needed, needed], [place - 0.42, place + 0.42], color="black", linewidth=2)
    axes.set_yticks(range(len(early_exits)), [f"leave at exit {entry['exit']}" for entry in reversed(early_exits)])
    axes.set_xlim(0, 110)
