"""The table of early exit's gain by engine and precision."""

from branchynet.report import formats

_HEADINGS = ("Network", "Engine", "Precision", "Plain (ms)", "Branchy (ms)", "Gain", "Plain acc. (%)", "Acc. (%)")


def precision_table(result: dict) -> str:
    """The table as Markdown, the slowest plain network of each list first.

    Args:
        result: what `experiments/benchmark_precision.py` writes: networks, environment.
    """
    lines, notes = [], []
    for network in result["networks"]:
        for row in sorted(network["rows"], key=lambda row: -row["plain_ms"]["mean"]):
            lines.append(
                [
                    network["network"],
                    row["engine"],
                    row["precision"],
                    formats.mean_ms(row["plain_ms"]),
                    formats.mean_ms(row["early_ms"]),
                    formats.gain(row["gain"]),
                    formats.accuracy(row["plain_accuracy_pct"]),
                    formats.accuracy(row["accuracy_pct"]),
                    f"{row['differing_pct']:.2f}",
                ]
            )
        limit = formats.gain(network["multiply_add_limit_of_gain"])
        lines.append([network["network"], "multiply-adds allow", "", "", "", limit, "", "", ""])
        notes += [f"{what}: {why}" for what, why in network["left_out"].items()]
    table = formats.markdown_table((*_HEADINGS, "Differing answers (%)"), lines)
    return "\n\n".join([table, *[f"Not here: {note}." for note in dict.fromkeys(notes)]])
