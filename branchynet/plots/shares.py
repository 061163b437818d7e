"""How many leave at the first exit, what accuracy that costs, and which T does it (paper, Fig. 4)."""

from branchynet.plots import style


def exit_share(run: dict, path) -> None:
    """Draws, over the share of the test samples that leave at the first exit, overall accuracy (left) and T (right).

    The paper draws the largest entropy among the samples that left, where the threshold itself is drawn here. With
    several early exits each T of the first one has a point for every setting of the others, and the curve runs through
    the most accurate of them.

    Args:
        run: a run's record (`branchynet.records`).
        path: the file; its ending says the format.

    Raises:
        OutputError: the file cannot be written.
    """
    points = [point for point in run["points"] if point["split"] == "test" and point["thresholds"]]
    best = _best_for_each_threshold(points)
    figure = style.new_figure(6.2, 4.6)
    axes = figure.subplots()
    threshold_axes = axes.twinx()
    if len(best) < len(points):
        axes.plot(*_shares_and_accuracies(points), ".", color=style.GREY, alpha=0.5, label="all settings of T")
    name = "accuracy" if len(best) == len(points) else "best accuracy"
    shares, accuracies = _shares_and_accuracies(best)
    axes.plot(shares, accuracies, "o-", color=style.BLUE, markersize=4, label=f"{name} (left)")
    # A threshold of 0 has no place on a logarithmic axis.
    positive = [(share, point["thresholds"][0]) for share, point in zip(shares, best) if point["thresholds"][0] > 0]
    if positive:
        threshold_axes.plot(*zip(*positive), "s--", color=style.RED, markersize=4)
        threshold_axes.set_yscale("log")
    axes.plot([], [], "s--", color=style.RED, markersize=4, label="T of exit 1 (right)")
    title = f"{run['branchy_network']} on {run['dataset']}: share of early exits"
    style.label(axes, "samples leaving at exit 1 (% of the test split)", "overall test accuracy (%)", title)
    if best:
        axes.set_ylim(*style.limits(accuracies))
    threshold_axes.set_ylabel("threshold T of exit 1, entropy (nats)", fontsize=style.FONT_SIZE)
    threshold_axes.tick_params(labelsize=style.FONT_SIZE - 1)
    style.legend_below(axes, columns=3)
    style.save(figure, path)


def _shares_and_accuracies(points):
    return [point["exit_pct"][0] for point in points], [point["accuracy_pct"] for point in points]


def _best_for_each_threshold(points):
    """For each T of the first exit the most accurate point, lowest T first."""
    best = {}
    for point in points:
        threshold = point["thresholds"][0]
        if threshold not in best or point["accuracy_pct"] > best[threshold]["accuracy_pct"]:
            best[threshold] = point
    return [best[threshold] for threshold in sorted(best)]
