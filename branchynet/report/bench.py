"""The tables of benchmarks: every contender, early exit over each, what the multiply-adds allow, how answers agree; and
early exit's gain by engine and precision."""

from branchynet.bench.energy import LEAST_S
from branchynet.report import formats
from branchynet.report.rows import CLOCKS

# Heading: what stands below it, of one early exit.
_LIMITS = {
    "Exit": "{exit}",
    "Multiply-adds to leave": "{multiply_adds_to_leave:,}",
    "Head": "{head_multiply_adds:,}",
    "Pays from (% of those who reach it)": "{break_even_pct_of_reaching:.1f}",
    "Leave (% of those)": "{leaving_pct_of_reaching:.1f}",
}
_OF_PRECISIONS = (
    *("Network", "Engine", "Precision", "Plain (ms)", "Branchy (ms)", "Gain"),
    *("Plain acc. (%)", "Acc. (%)", "Differing answers (%)"),
)


def benchmark_tables(result: dict) -> str:
    """The tables of a benchmark of one network, as Markdown.

    Args:
        result: what `experiments/benchmark.py` writes: network, device, thresholds, exit_pct, accuracy_pct, limits (of
            `branchynet.bench.limits.gain_limits`), compile, agreement, environment, n_images, measured, energy, rows.
    """
    environment, limits = result["environment"], result["limits"]
    parts = [
        f"### {result['network']}, {result['device']}: {formats.machine(result)}",
        f"T = {', '.join(f'{t:.4g}' for t in result['thresholds'])}; exit mix "
        f"{formats.exit_shares(result['exit_pct'], decimals=1)} %; test accuracy {result['accuracy_pct']:.2f} %; "
        f"the multiply-adds allow a gain of {limits['multiply_add_limit_of_gain']:.2f}x. "
        f"{formats.commit(environment)}; {formats.versions(environment)}.",
        _both_clocks(result),
        _contenders(result["rows"]),
        f"A batch of more than the {result['n_images']:,} test images holds images again. {_energy(result['energy'])}",
        _gains(result["rows"]),
        formats.markdown_table(
            _LIMITS, [[cell.format_map(exit_) for cell in _LIMITS.values()] for exit_ in limits["early_exits"]]
        ),
        _engines(result),
        *[f"Not here: {engine}: {why}." for engine, why in result["left_out"].items()],
    ]
    return "\n\n".join(parts) + "\n"


def _both_clocks(result):
    measured = result["measured"]
    lines = [
        [clock.words, *(formats.mean_ms(measured[key]) for key in (clock.plain_ms, clock.branchy_ms))]
        + [formats.gain(measured[clock.gain])]
        for clock in CLOCKS
    ]
    headings = (f"One sample at a time, engine {result['engine']}", "Plain (ms)", "Branchy (ms)", "Gain")
    return formats.markdown_table(headings, lines)


def _energy(energy):
    if "not_measured" in energy:
        return f"Energy: not measured: {energy['not_measured']}."
    return f"Energy: {energy['source']}."


def _contenders(rows):
    headings = ("Contender", "Samples in", "Batch", "Mean (ms per sample)", "p50", "p90", "p99", "By exit: mean (ms)")
    lines = []
    for row in rows:
        latency = [f"{row['ms_per_sample'][key]:.4f}" for key in ("mean", "p50", "p90", "p99")]
        by_exit = ", ".join(f"{exit_ms['mean']:.4f}" if exit_ms else "-" for exit_ms in row.get("ms_per_exit", []))
        gain = row.get("gain_over", {}).get(row["name"].replace("early exit", "plain net"))
        energy = ""
        if "energy" in row:  # an earlier record may have counted for too short a time
            energy = formats.ms(row["energy"]["mj_per_sample"] if row["energy"]["seconds"] >= LEAST_S else None)
        cells = [row["name"], row["samples_in"], str(row["batch_size"]), *latency, by_exit]
        lines.append([*cells, formats.gain(gain) if gain else "", energy])
    return formats.markdown_table((*headings, "Same-engine gain", "Energy (mJ per sample)"), lines)


def _gains(rows):
    lines = [
        [row["name"], other, row["samples_in"], str(row["batch_size"]), formats.gain(gain)]
        for row in rows
        if "reference" not in row["name"]
        for other, gain in row.get("gain_over", {}).items()
    ]
    return formats.markdown_table(("Early exit of", "over", "Samples in", "Batch", "Gain"), lines)


def _engines(result):
    headings = ("Compiled", "Compile (ms)", "Buffers (KiB)", "Test samples", "On the edge of T", "Largest logit error")
    cells = "{n_samples:,}", "{n_on_the_edge}", "{largest_logit_difference:.1e}"
    lines = []
    for name, cost in result["compile"].items():
        agreement = result["agreement"].get(name)
        agreeing = [cell.format_map(agreement) if agreement else "" for cell in cells]
        lines.append([name, f"{cost['compile_ms']:.1f}", f"{cost['buffers_bytes'] / 1024:.0f}", *agreeing])
    return formats.markdown_table(headings, lines)


def precision_table(result: dict) -> str:
    """The table as Markdown, the slowest plain network of each list first.

    Args:
        result: what `experiments/benchmark_precision.py` writes: networks, environment.
    """
    lines, notes = [], []
    for network in result["networks"]:
        for row in sorted(network["rows"], key=lambda row: -row["plain_ms"]["mean"]):
            names = network["network"], row["engine"], row["precision"]
            times = formats.mean_ms(row["plain_ms"]), formats.mean_ms(row["early_ms"]), formats.gain(row["gain"])
            accuracies = formats.accuracy(row["plain_accuracy_pct"]), formats.accuracy(row["accuracy_pct"])
            lines.append([*names, *times, *accuracies, f"{row['differing_pct']:.2f}"])
        limit = formats.gain(network["multiply_add_limit_of_gain"])
        lines.append([network["network"], "multiply-adds allow", "", "", "", limit, "", "", ""])
        notes += [f"{what}: {why}" for what, why in network["left_out"].items()]
    table = formats.markdown_table(_OF_PRECISIONS, lines)
    return "\n\n".join([table, *[f"Not here: {note}." for note in dict.fromkeys(notes)]])
