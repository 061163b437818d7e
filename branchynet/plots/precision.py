"""Early exit's gain by engine and precision, beside what the multiply-adds allow."""

from branchynet.plots import style

_MARKS = {"f32": "o", "bf16": "s", "int8": "^"}


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
