"""Ways to train one network, as `experiments/compare_training.py` compares them, in one small table."""

from branchynet.report.formats import markdown_table, mean_and_interval


def ways_to_train(record: dict) -> str:
    """Accuracy of each exit and what the knee gives, for each way to train.

    Args:
        record: what `experiments/compare_training.py` writes: variants, a list of {name, seeds}; seeds is a list of
            {exit_accuracy_pct, accuracy_pct, early_pct, multiply_adds}, on the test set.

    Returns:
        a Markdown table; with several seeds, mean ± half its 95 % interval.
    """
    variants = record["variants"]
    n_exits = len(variants[0]["seeds"][0]["exit_accuracy_pct"])
    exits = [f"Exit {number} (%)" for number in range(1, n_exits + 1)]
    rows = []
    for variant in variants:
        by_exit = zip(*(result["exit_accuracy_pct"] for result in variant["seeds"]))
        rows.append(
            [
                variant["name"],
                *map(mean_and_interval, by_exit),
                mean_and_interval([result["accuracy_pct"] for result in variant["seeds"]]),
                mean_and_interval([result["early_pct"] for result in variant["seeds"]], 1),
                mean_and_interval([result["multiply_adds"] / 1e6 for result in variant["seeds"]], 3),
            ]
        )
    return markdown_table(["Training", *exits, "At the knee (%)", "Leave early (%)", "Multiply-adds (M)"], rows)
