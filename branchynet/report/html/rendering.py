"""Templates filled in, with all values escaped; charts by Vega-Lite, whose JavaScript goes into the page."""

import functools
import json
import pathlib
import re

from branchynet.errors import ReportError
from branchynet.report import colours

TEMPLATES = pathlib.Path(__file__).with_name("templates")
_INSTALL = "pip install 'branchynet[report]', or in the project's folder: pip install -e '.[report]'"


def render(template: str, **values) -> str:
    """A template filled in. Text of values is escaped, whatever stands in it.

    Raises:
        ReportError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ReportError(f"a report needs the package jinja2; {_INSTALL}") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values, exit_colours=colours.OF_EXITS)


@functools.lru_cache(maxsize=1)
def charts() -> tuple:
    """The charts of `charts.json` and what draws them: ({name: Vega-Lite specification}, JavaScript of Vega-Embed).

    Raises:
        ReportError: the package that holds both is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise ReportError(f"a report needs the package vl-convert-python; {_INSTALL}") from error
    written = json.loads((TEMPLATES / "charts.json").read_text(encoding="utf-8"))
    common = written.pop("common")
    # Within strings, the only place for it in a program, this means the same and does not end the script element.
    script = re.sub("<(?=/script|!--)", r"\\x3C", vl_convert.javascript_bundle(), flags=re.I)
    return {name: {**common, **chart} for name, chart in written.items()}, script
