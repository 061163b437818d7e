"""The tables of a benchmark: every contender, early exit over each, what the multiply-adds allow, how answers agree."""

from __future__ import annotations

from branchynet.report import formats
from branchynet.report.table import markdown_table

_LATENCY = ("mean", "p50", "p90", "p99")


def benchmark_tables(result: dict) -> str:
    """The tables of a benchmark of one network.

    Args:
        result: what `experiments/benchmark.py` writes: network, device, thresholds, exit_pct, accuracy_pct, limits (of
            `branchynet.inference.plan.gain_limits`), compile, agreement, environment, rows.

    Returns:
        Markdown.
    """
    environment = result["environment"]
    title = f"### {result['network']}, {result['device']}: {environment['device']}, {environment['threads']} thread"
    setting = (
        f"T = {', '.join(f'{t:.4g}' for t in result['thresholds'])}; exit mix "
        f"{formats.exit_shares(result['exit_pct'], decimals=1)} %; test accuracy {result['accuracy_pct']:.2f} %; the "
        f"multiply-adds allow a gain of {result['limits']['multiply_add_limit_of_gain']:.2f}x. "
        f"{formats.commit(environment)}; {formats.versions(environment)}."
    )
    parts = [title, setting, _contenders(result["rows"]), _gains(result["rows"]), _limits(result["limits"])]
    return "\n\n".join([*parts, _engines(result)]) + "\n"


def _contenders(rows):
    headings = ("Contender", "Batch", "Mean (ms per sample)", *_LATENCY[1:], "By exit: mean (ms)", "Same-engine gain")
    lines = []
    for row in rows:
        latency = [f"{row['ms_per_sample'][key]:.4f}" for key in _LATENCY]
        by_exit = ", ".join(f"{exit_ms['mean']:.4f}" if exit_ms else "-" for exit_ms in row.get("ms_per_exit", []))
        same_engine = row["name"].replace("early exit", "plain net")
        gain = row.get("gain_over", {}).get(same_engine)
        lines.append([row["name"], str(row["batch_size"]), *latency, by_exit, formats.gain(gain) if gain else ""])
    return markdown_table(headings, lines)


def _gains(rows):
    lines = [
        [row["name"], other, str(row["batch_size"]), formats.gain(gain)]
        for row in rows
        if "reference" not in row["name"]
        for other, gain in row.get("gain_over", {}).items()
    ]
    return markdown_table(("Early exit of", "over", "Batch", "Gain"), lines)


def _limits(limits):
    headings = ("Exit", "Multiply-adds to leave", "Head", "Pays from (% of those who reach it)", "Leave (% of those)")
    lines = [
        [
            str(entry["exit"]),
            f"{entry['multiply_adds_to_leave']:,}",
            f"{entry['head_multiply_adds']:,}",
            f"{entry['break_even_pct_of_reaching']:.1f}",
            f"{entry['leaving_pct_of_reaching']:.1f}",
        ]
        for entry in limits["early_exits"]
    ]
    return markdown_table(headings, lines)


def _engines(result):
    headings = ("Compiled", "Compile (ms)", "Buffers (KiB)", "Test samples", "On the edge of T", "Largest logit error")
    lines = []
    for name, cost in result["compile"].items():
        agreement = result["agreement"].get(name)
        cells = ["", "", ""]
        if agreement is not None:
            cells = [
                f"{agreement['n_samples']:,}",
                str(agreement["n_on_the_edge"]),
                f"{agreement['largest_logit_difference']:.1e}",
            ]
        lines.append([name, f"{cost['compile_ms']:.1f}", f"{cost['buffers_bytes'] / 1024:.0f}", *cells])
    return markdown_table(headings, lines)
