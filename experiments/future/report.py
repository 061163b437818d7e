"""What the paper leaves to future work (section V), as `experiments/future_work.py` found it, in Markdown."""

from branchynet.report import formats
from branchynet.report.formats import markdown_table
from future.study import REFERENCE_MEASURE
from future.ways_to_train import ways_to_train

_UNDEFINED = "-"
_DASH = "\N{EN DASH}"
_NAMED_BY_THE_PAPER = ("openmax", "opengan")
# What a reader must know of the settings of a measure.
_EARLIER_LOOKS = {
    "opengan": " Its defaults had once been picked with a look at test figures of MNIST, so they are chosen anew here; "
    "they are among the settings tried."
}
# A share from which on one may say "most", and one below which one must say "hardly any", in %.
_MOST_PCT, _HARDLY_PCT = 50, 10


def future_work(result: dict) -> str:
    """The report.

    Args:
        result: what `experiments/future_work.py` writes: command, seed, environment, networks (entries described
            there), training (records of `experiments/compare_training.py`).

    Returns:
        Markdown; figures are linked as NETWORK-tradeoffs.png and NETWORK-reliability.png.
    """
    environment = result["environment"]
    parts = [
        "# The paper's future work",
        "Other measures of confidence, thresholds that find themselves and other loss weights (paper, section V), on "
        "the weights released with the code. Test labels choose nothing: they are only reported on.",
        f"{environment['device']}, {environment['threads']} thread while timing; `{result['command']}`; "
        f"{formats.commit(environment)}; {formats.versions(environment)}; {environment['utc']}.",
    ]
    for network in result["networks"]:
        parts += _network_parts(network)
    parts += ["## Weights of the losses", _ways_to_train(result["training"])]
    return "\n\n".join(parts) + "\n"


def verdict(combination: dict) -> str:
    """What the best combination of a measure and a goal gains over the reference, in sentences made from the numbers.

    Args:
        combination: {n_tried, best, timed}: of `best_combination` and `time_against_reference` in `future.combination`.
    """
    best, timed = combination["best"], combination["timed"]
    if best is None:
        return (
            f"None of {combination['n_tried']} combinations of a measure and a goal is faster on the validation "
            "samples at no less accuracy than the reference setting: they gain nothing."
        )
    gain, (points, error) = timed["gain"], _points(timed["difference"])
    figures = (
        f"{best['measure']} with the goal `{best['goal']}`, the fastest of {combination['n_tried']} combinations on "
        f"the validation samples, takes {formats.mean_ms(timed['best']['latency_ms'])} ms a sample where the "
        f"reference setting takes {formats.mean_ms(timed['reference']['latency_ms'])}: {gain['value']:.3f}x as fast "
        f"({gain['low']:.3f}{_DASH}{gain['high']:.3f}), at a test accuracy of "
        f"{formats.accuracy(timed['best']['accuracy_pct'])} % instead of "
        f"{formats.accuracy(timed['reference']['accuracy_pct'])} % (difference {points:+.2f} ± {error:.2f} points)."
    )
    if gain["low"] <= 1 <= gain["high"]:
        return f"{figures} The interval includes 1: it gains nothing that can be told from noise."
    if gain["high"] < 1:
        return f"{figures} It is slower: it gains nothing."
    if points < -2 * error:
        return f"{figures} It is faster, but at the cost of accuracy that is more than twice its standard error."
    is_higher = points > 2 * error
    more = "at a higher accuracy" if is_higher else "at an accuracy that cannot be told from the reference's"
    return f"{figures} It saves {1e3 * timed['saved_ms']:.1f} microseconds a sample, {more}."


def _network_parts(network):
    name, reference = network["name"], network["reference"]
    parts = [
        f"## {name} on {network['dataset']}",
        _samples(network),
        "**The reference setting**: entropy, with T at the knee of the authors' grid, chosen on validation samples: "
        f"{_setting(reference)}.",
        "### Measures of confidence",
        _measures(network["measures"]),
        _measure_notes(network),
        f"![Accuracy against time by every measure]({name}-tradeoffs.png)",
        _reliability(network["reliability"]),
        f"![Confidence against accuracy of each exit]({name}-reliability.png)",
        "### Thresholds that find themselves",
        _goals(network["goals"]),
        _goal_notes(network["goals"]),
    ]
    if network["unknown"] is not None:
        parts += ["### Images of no known class", *_unknown(network["unknown"], reference)]
    return [*parts, "### The best combination", verdict(network["combination"])]


def _samples(network):
    return (
        f"Measures that learn were fitted to one part of the validation samples ({network['n_fit']:,}), OpenMax to "
        f"{network['n_training']:,} training images; T was chosen on the rest ({network['n_choose']:,}). "
        f"Accuracies and shares are of all {network['n_test']:,} test samples. Times are computed from the measured "
        f"mean of each path: engine {network['engine']}, one sample at a time, {network['n_timed']:,} test samples, "
        "all measures in turn, each with its own arithmetic inside the clock."
    )


def _setting(reference):
    validation, test = reference["validation"], reference["test"]
    return (
        f"T = {formats.thresholds(reference['thresholds'])}, {formats.accuracy(test['accuracy_pct'])} % on the test "
        f"samples (validation {formats.accuracy(validation['accuracy_pct'])} %), {formats.ms(test['cost'])} ms, "
        f"{test['early_pct']:.1f} % leave early"
    )


def _measures(rows):
    headings = (
        "Measure",
        "ms by exit",
        "AUROC by exit",
        "At equal ms: acc. (%)",
        "less the reference's (points)",
        "leave early (%)",
        "At equal acc.: ms",
    )
    return markdown_table(headings, [_measure_cells(row) for row in rows])


def _measure_cells(row):
    exit_ms = ", ".join(f"{mean:.4f} ± {error:.4f}" for mean, error in zip(row["exit_ms"], row["exit_ms_error"]))
    cells = [row["name"], exit_ms, _areas(row["auroc"])]
    at_cost, at_accuracy = row["at_equal_ms"], row["at_equal_accuracy"]
    if at_cost is None:
        cells += ["not so fast", _UNDEFINED, _UNDEFINED]
    else:
        points, error = _points(at_cost["difference"])
        cells += [formats.accuracy(at_cost["accuracy_pct"]), f"{points:+.2f} ± {error:.2f}"]
        cells.append(f"{at_cost['early_pct']:.1f}")
    return [*cells, "not so accurate" if at_accuracy is None else formats.ms(at_accuracy["cost"])]


def _measure_notes(network):
    notes = [
        "Each measure's curve is made of the settings on its front of cost and accuracy on the validation samples, as "
        "they do on the test samples. *At equal ms*, *at equal accuracy*: where that curve is as expensive, or as "
        "accurate, as the reference setting; between two settings linearly, which is what deciding by chance between "
        "them gives. The row of entropy says what T of any value gives instead of one of the grid. ±: one standard "
        "error, of differences the paired one; a difference within two of them says nothing, and of so many measures "
        "one may be beyond by chance. AUROC: of the score against being right, 0.5 is guessing; the last exit's score "
        "decides nothing. A front ends at its highest validation accuracy: what is slower and no more accurate there "
        "is not on it, even if it is on the test samples."
    ]
    for name, fit in network["fits"].items():
        if fit["tried"]:
            areas = [entry["auroc"] for entry in fit["tried"] if entry["auroc"] is not None]
            chosen = ", ".join(f"{key} = {fit['settings'][key]:g}" for key in fit["tried"][0]["settings"])
            between = f" ({min(areas):.3f} to {max(areas):.3f})" if areas else ""
            notes.append(
                f"{name}: {chosen}, the best of {len(fit['tried'])} settings{between} by the AUROC on validation "
                f"samples that they were not fitted to.{_EARLIER_LOOKS.get(name, '')}"
            )
    fits = ", ".join(f"{name} {fit['fit_s']:.1f} s" for name, fit in network["fits"].items() if fit["n_samples"])
    return "\n".join(f"- {note}" for note in [*notes, f"Fitting took: {fits}."])


def _reliability(rows):
    words = [
        f"exit {number}: {100 * row['before']['error']:.2f} % before, {100 * row['after']['error']:.2f} % after "
        f"(tau = {row['temperature']:.2f})"
        for number, row in enumerate(rows, start=1)
    ]
    return f"Expected calibration error on the test samples, before and after temperature scaling: {'; '.join(words)}."


def _goals(rows):
    headings = ("Goal", "T", "Test acc. (%)", "ms", "Leave early (%)", "Promised", "On test", "Met")
    lines = []
    for row in rows:
        if "problem" in row:
            problem = row["problem"].removeprefix(f"{row['goal']}: ")
            lines.append([f"`{row['goal']}`", f"cannot be had: {problem}", *[_UNDEFINED] * 6])
            continue
        test, promise = row["test"], row["promise"]
        cells = [f"`{row['goal']}`", ", ".join(f"{value:.4g}" for value in row["thresholds"])]
        cells += [formats.accuracy(test["accuracy_pct"]), formats.ms(test["cost"]), f"{test['early_pct']:.1f}"]
        if promise is None:
            cells += ["nothing", _UNDEFINED, _UNDEFINED]
        else:
            sign = {"<=": "≤", ">=": "≥", "=": "="}[promise["relation"]]
            cells.append(f"{promise['quantity']} {sign} {_number(promise['limit'])}")
            cells += [_number(promise["value"]), "yes" if promise["met"] else "no"]
        lines.append(cells)
    return markdown_table(headings, lines)


def _goal_notes(rows):
    promises = [row["promise"] for row in rows if row.get("promise")]
    return (
        "T by entropy, of any value, on the validation samples. *Spoilt*: answered wrong where the last exit is right. "
        "A share that is to leave is met within two standard errors. `risk` holds with the stated confidence, "
        "`expected-risk` on average over draws of the validation samples; the other goals are reached on the "
        f"validation samples and guarantee nothing beyond. Of {len(promises)} goals here that promise something, "
        f"{sum(promise['met'] for promise in promises)} were met on the test samples."
    )


def _unknown(unknown, reference):
    headings = (
        "Measure",
        "AUROC by exit",
        "Known leave early (%)",
        "Unknown leave early (%)",
        "Known above the limit, by exit (%)",
        "Unknown above the limit, by exit (%)",
    )
    lines = []
    for row in unknown["measures"]:
        above = [formats.exit_shares(row["above_pct"][key], decimals=1) for key in ("known", "unknown")]
        early = [f"{row[key]:.1f}" for key in ("known_early_pct", "unknown_early_pct")]
        lines.append([row["name"], _areas(row["auroc"]), *early, *above])
    introduction = (
        f"{unknown['n']:,} test images of {unknown['dataset']}, which are of none of the classes. T of every measure "
        "lets as many known validation samples leave at each exit as the reference setting does (entropy, T = "
        f"{formats.thresholds(reference['thresholds'])}), or more, where scores are equal. Who leaves early is "
        "answered with confidence. AUROC: known test samples against unknown ones. *Limit*: the score that 95 % of the "
        "known validation samples are below."
    )
    return [introduction, markdown_table(headings, lines), "\n".join(_refusals(unknown["measures"]))]


def _refusals(rows):
    """Sentences on whether the measures that the paper names refuse what they cannot know."""
    sentences = []
    entropy = next(row for row in rows if row["name"] == REFERENCE_MEASURE)
    for row in rows:
        if row["name"] not in _NAMED_BY_THE_PAPER:
            continue
        refused, by_entropy = row["above_pct"]["unknown"][0], entropy["above_pct"]["unknown"][0]
        price, of_entropy = row["above_pct"]["known"][0], entropy["above_pct"]["known"][0]
        words = "most" if refused >= _MOST_PCT else "some" if refused >= _HARDLY_PCT else "hardly any"
        sentences.append(
            f"- **{row['name']} could refuse {words}** of the unknown images at the first exit: {refused:.1f} % at "
            f"the price of {price:.1f} % of the known (entropy: {by_entropy:.1f} % at {of_entropy:.1f} %). At its T "
            f"{row['unknown_early_pct']:.1f} % leave early (entropy: {entropy['unknown_early_pct']:.1f} %)."
            + _own_class(row)
        )
    best = min(rows, key=lambda row: row["unknown_early_pct"])
    return [
        *sentences,
        f"- The fewest unknown images leave early by {best['name']}: {best['unknown_early_pct']:.1f} %.",
    ]


def _own_class(row):
    """What a measure with a class for the unknown puts there."""
    if row["refused"] is None:
        return ""
    known, unknown = row["refused"]["known"], row["refused"]["unknown"]
    by_exit = formats.exit_shares(unknown["by_exit_pct"], decimals=1)
    return (
        f" The unknown class is the most probable one for {by_exit} % of them by exit, {unknown['pct']:.1f} % at the "
        f"exit that they leave at (of the known test samples {known['pct']:.1f} %)."
    )


def _ways_to_train(comparisons):
    if not comparisons:
        return "Skipped: no results of `experiments/compare_training.py` were given (`--training DIR`)."
    return "\n\n".join(
        f"On {comparison['network']}, {comparison['epochs']} epochs each, from the same trained plain network; "
        f"`{comparison['command']}`; {formats.commit(comparison['environment'])}.\n\n{ways_to_train(comparison)}"
        for comparison in comparisons
    )


def _areas(areas):
    return ", ".join(_UNDEFINED if area is None else f"{area:.3f}" for area in areas)


def _points(difference):
    return difference["points"], difference["standard_error_points"]


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.4g}"
