"""The colours of figures and reports: Okabe and Ito's, which the colour-blind can tell apart (2008)."""

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#999999"
OF_EXITS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)


def of_exit(index: int) -> str:
    """The colour of an exit, 0 for the first one."""
    return OF_EXITS[index % len(OF_EXITS)]
