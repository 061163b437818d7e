"""Figures of benchmarks: latency, throughput by batch size, gains side by side and by precision."""

import itertools

from branchynet.plots import style

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)
_MARKS = {"f32": "o", "bf16": "s", "int8": "^"}


def latencies(result: dict, path) -> None:
    """Draws mean latency per sample at the smallest batch size as bars, with a line up to the 90th percentile; below,
    for each early exit, the share of the samples reaching it that leave there, and the share from which its head pays.

    Args:
        result: what `experiments/benchmark.py` writes: network, limits, rows of {name, batch_size, ms_per_sample},
            environment.
        path: of the .png.
    """
    smallest = min(row["batch_size"] for row in result["rows"])
    rows = [row for row in result["rows"] if row["batch_size"] == smallest and _place(row) == "host"]
    rows.sort(key=lambda row: row["ms_per_sample"]["mean"], reverse=True)
    limits = result["limits"]
    heights = [0.9 + 0.42 * len(rows), 0.9 + 0.42 * len(limits["early_exits"])]
    figure = style.new_figure(9.5, sum(heights))
    bars, shares = figure.subplots(2, 1, height_ratios=heights)
    _draw_latencies(bars, rows)
    at_a_time = "one sample at a time" if smallest == 1 else f"batches of {smallest:,}"
    words = f"{at_a_time}, one thread ({result['environment']['device']}): mean, line to p90"
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
    for (result, place), colour in zip(places, itertools.cycle(_COLOURS)):
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


def gains(comparisons, path) -> None:
    """Draws the gains of each network as bars.

    Args:
        comparisons: pairs (title, [(label, gain), ...]), as of `branchynet.report.gains_of`; titles may be alike.
        path: of the .png.
    """
    n_bars = sum(len(rows) for _, rows in comparisons)
    figure = style.new_figure(9, 1.2 * len(comparisons) + 0.34 * n_bars)
    panels = figure.subplots(len(comparisons), 1, squeeze=False)[:, 0]
    for axes, (title, rows) in zip(panels, comparisons):
        for place, (label, gain) in enumerate(reversed(rows)):
            colour = style.BLUE if label.startswith("ours, end") else style.GREY
            style.bar(axes, place, gain, f"{gain:.2f}x", colour)
        axes.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)])
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlim(0, 1.15 * max((gain for _, gain in rows), default=1))
        style.label(axes, "times faster than the plain network", "", title)
    style.save(figure, path)


def gains_by_precision(result: dict, path) -> None:
    """Draws, for each network, gain with its interval against the plain network's time, and the multiply-adds' limit.

    Args:
        result: what `experiments/benchmark_precision.py` writes: networks, environment.
        path: of the .png.
    """
    networks = result["networks"]
    figure = style.new_figure(4.0 * len(networks) + 0.5, 4.0)
    for axes, network in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks):
        engines = list(dict.fromkeys(row["engine"] for row in network["rows"]))
        for row in network["rows"]:
            gain, color = row["gain"], style.of_exit(engines.index(row["engine"]))
            error = [[gain["value"] - gain["low"]], [gain["high"] - gain["value"]]]
            look = {"marker": _MARKS[row["precision"]], "color": color, "capsize": 2, "linestyle": "none"}
            axes.errorbar(row["plain_ms"]["mean"], gain["value"], error, label=_name(row), **look)
        axes.axhline(network["multiply_add_limit_of_gain"], color=style.GREY, linestyle="--")
        axes.axhline(1, color=style.GREY, linewidth=0.8)
        axes.set_xscale("log")
        style.log_axis(axes.xaxis)
        axes.set_ylim(bottom=0)
        style.label(axes, "plain network, ms an image", "gain of early exit", network["network"])
        style.legend_below(axes)
    words = f"one image at a time, one thread ({result['environment']['device']}); dashed: what the multiply-adds allow"
    figure.suptitle(words, fontsize=style.FONT_SIZE + 1)
    style.save(figure, path)


def _name(row):
    return row["engine"] if row["precision"] == "f32" else f"{row['engine']} {row['precision']}"
