"""What figures 4, 5 and 6 of the paper show, as tables of our measurements, with what was published of the same."""

from branchynet.report import formats

_TITLES = {"lenet": "LeNet", "alexnet": "AlexNet"}
_NOTE = (
    "The paper draws these figures and prints no numbers for them: beside ours stand the point of its Table I and the "
    "sweep in the authors' notebook, with the T of the other early exits that is the paper's. T of the first exit is "
    "set so that a round share of the validation images leaves there; the other early exits keep the released run's T. "
    "Accuracies, shares and times are of test images, times of all contenders in turn."
)


def paper_figures(result: dict, published: dict) -> str:
    """The tables of all networks, as Markdown.

    Args:
        result: what `experiments/figures.py` writes.
        published: of `branchynet.records.load_published`.
    """
    parts = [_NOTE]
    for network in result["networks"]:
        parts += [f"**{network['network']}: T of the first exit** (figures 4 and 6)", _sweep(network, published)]
        parts.append(_cache_words(network["cache"]))
        if network["depths"]:
            parts.append(f"**{network['network']}: convolutions in the first branch** (figure 5)")
            parts += [_depths(network), _training_words(network["depths_trained"])]
    return "\n\n".join(parts)


def published_sweep(name: str, published: dict) -> tuple:
    """What others published of T of the first exit of a network of the zoo, on a CPU.

    Returns:
        (rows of the authors' notebook with the paper's T at the other early exits, by T of the first; the paper's row
        of Table I, or None)
    """
    title = f"B-{_TITLES.get(name.split('-')[0])}"
    point = next((row for row in published["paper"] if (row["device"], row["network"]) == ("cpu", title)), None)
    rows = [row for row in published["authors"] if row["network"] == title]
    rows = [row for row in rows if point and row["thresholds"][1:] == point["thresholds"][1:]]
    return sorted(rows, key=lambda row: row["thresholds"][0]), point


def _sweep(network, published):
    levels = list(network["plain"]["misses"])
    headings = (
        "T of exit 1",
        "Exit (%)",
        "Acc. (%)",
        "ms",
        "Gain",
        *(f"Misses, {level}" for level in levels),
        "Source",
    )
    plain = network["plain"]
    rows = [["plain network", "", "", formats.mean_ms(plain["ms"]), "", *_misses(plain, levels), "ours"]]
    for row in network["sweep"]:
        time = formats.mean_ms(row["ms"]), formats.gain(row["gain"])
        outcome = formats.exit_shares(row["exit_pct"], 1), formats.accuracy(row["accuracy_pct"])
        rows.append([f"{row['thresholds'][0]:.3g}", *outcome, *time, *_misses(row, levels), "ours"])
    notebook, point = published_sweep(network["network"], published)
    for source, row in [*(("authors' notebook", row) for row in notebook), *([("paper", point)] if point else [])]:
        outcome = formats.exit_shares(row["exit_pct"]), formats.accuracy(row["accuracy_pct"])
        time = f"{row['time_ms']:g}", f"{row['gain']:g}x"
        rows.append([f"{row['thresholds'][0]:g}", *outcome, *time, *[""] * len(levels), source])
    return formats.markdown_table(headings, rows)


def _misses(row, levels):
    return [f"{row['misses'][level]:,.0f}" for level in levels]


def _cache_words(cache):
    if cache["kind"] == "counters":
        return "Misses: cache misses an image, by the processor's counters."
    sizes = ", ".join(f"{name} {size // 1024} KiB" for name, size in cache["cache_bytes"].items())
    return (
        f"Misses: cache lines an image that a model of a cache would not hold ({sizes}; fully associative, least "
        "recently used out first, each operation once through input, weights and result): no measurement, for this "
        "machine shows no counters."
    )


def _depths(network):
    n_exits = len(network["depths"][0]["exit_accuracy_pct"])
    exits = [f"Exit {number} (%)" for number in range(1, n_exits + 1)]
    headings = ("Convolutions", *exits, "At the knee (%)", "Leave early (%)", "Multiply-adds (M)", "ms", "Gain")
    rows = [
        [
            str(row["n_convolutions"]),
            *map(formats.accuracy, row["exit_accuracy_pct"]),
            formats.accuracy(row["accuracy_pct"]),
            f"{row['early_pct']:.1f}",
            f"{row['multiply_adds'] / 1e6:.3f}",
            formats.mean_ms(row["ms"]),
            formats.gain(row["gain"]),
        ]
        for row in network["depths"]
    ]
    return formats.markdown_table(headings, rows)


def _training_words(trained):
    settings = trained["settings"]
    what = "the branches alone, on the frozen trunk" if settings["freeze_trunk"] else "all exits jointly"
    return (
        f"Each trained from the released plain network ({trained['plain_sha256'][:12]}), {what}, {settings['epochs']} "
        f"epochs, seed {settings['seed']}; one seed each, so that a difference of a few tenths of a point says nothing."
    )
