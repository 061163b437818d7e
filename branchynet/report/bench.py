"""The tables of a benchmark: every contender, early exit over each, what the multiply-adds allow, how answers agree."""

from __future__ import annotations

from branchynet.report import formats

# Heading: what stands below it, of one early exit.
_LIMITS = {
    "Exit": "{exit}",
    "Multiply-adds to leave": "{multiply_adds_to_leave:,}",
    "Head": "{head_multiply_adds:,}",
    "Pays from (% of those who reach it)": "{break_even_pct_of_reaching:.1f}",
    "Leave (% of those)": "{leaving_pct_of_reaching:.1f}",
}


def benchmark_tables(result: dict) -> str:
    """The tables of a benchmark of one network, as Markdown.

    Args:
        result: what `experiments/benchmark.py` writes: network, device, thresholds, exit_pct, accuracy_pct, limits (of
            `branchynet.bench.limits.gain_limits`), compile, agreement, environment, rows.
    """
    environment, limits = result["environment"], result["limits"]
    parts = [
        f"### {result['network']}, {result['device']}: {environment['device']}, {environment['threads']} thread",
        f"T = {', '.join(f'{t:.4g}' for t in result['thresholds'])}; exit mix "
        f"{formats.exit_shares(result['exit_pct'], decimals=1)} %; test accuracy {result['accuracy_pct']:.2f} %; "
        f"the multiply-adds allow a gain of {limits['multiply_add_limit_of_gain']:.2f}x. "
        f"{formats.commit(environment)}; {formats.versions(environment)}.",
        _contenders(result["rows"]),
        _gains(result["rows"]),
        formats.markdown_table(
            _LIMITS, [[cell.format_map(exit_) for cell in _LIMITS.values()] for exit_ in limits["early_exits"]]
        ),
        _engines(result),
        *[f"Not here: {engine}: {why}." for engine, why in result["left_out"].items()],
    ]
    return "\n\n".join(parts) + "\n"


def _contenders(rows):
    headings = ("Contender", "Batch", "Mean (ms per sample)", "p50", "p90", "p99", "By exit: mean (ms)")
    lines = []
    for row in rows:
        latency = [f"{row['ms_per_sample'][key]:.4f}" for key in ("mean", "p50", "p90", "p99")]
        by_exit = ", ".join(f"{exit_ms['mean']:.4f}" if exit_ms else "-" for exit_ms in row.get("ms_per_exit", []))
        gain = row.get("gain_over", {}).get(row["name"].replace("early exit", "plain net"))
        cells = [row["name"], str(row["batch_size"]), *latency, by_exit]
        lines.append([*cells, formats.gain(gain) if gain else ""])
    return formats.markdown_table((*headings, "Same-engine gain"), lines)


def _gains(rows):
    lines = [
        [row["name"], other, str(row["batch_size"]), formats.gain(gain)]
        for row in rows
        if "reference" not in row["name"]
        for other, gain in row.get("gain_over", {}).items()
    ]
    return formats.markdown_table(("Early exit of", "over", "Batch", "Gain"), lines)


def _engines(result):
    headings = ("Compiled", "Compile (ms)", "Buffers (KiB)", "Test samples", "On the edge of T", "Largest logit error")
    cells = "{n_samples:,}", "{n_on_the_edge}", "{largest_logit_difference:.1e}"
    lines = []
    for name, cost in result["compile"].items():
        agreement = result["agreement"].get(name)
        agreeing = [cell.format_map(agreement) if agreement else "" for cell in cells]
        lines.append([name, f"{cost['compile_ms']:.1f}", f"{cost['buffers_bytes'] / 1024:.0f}", *agreeing])
    return formats.markdown_table(headings, lines)
