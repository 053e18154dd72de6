"""The site of these pages: `make docs` builds it into docs/_build/html."""

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from empnn.version import __version__

project = author = "empnn"
release = __version__
copyright = "the empnn developers, MIT licence"  # noqa: A001

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# Blocks that name no language are what is typed in a terminal.
highlight_language = "text"

html_theme = "furo"
html_title = f"empnn {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]

myst_heading_anchors = 4

# Pages whose front matter names myst-nb are notebooks: run at each build, in folders of their own.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1200
nb_merge_streams = True
# Commands in them are those of the environment that builds.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# Commands in notebooks get no terminal, which kernels else pretend, so that they print neither colours nor bars.
_ipython = TemporaryDirectory()
_startup = Path(_ipython.name) / "profile_default" / "startup"
_startup.mkdir(parents=True)
(_startup / "plain.py").write_text(
    """import os, subprocess
os.environ |= {"FORCE_COLOR": "", "CLICOLOR_FORCE": ""}
def system(line):
    done = subprocess.run(line, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, end="")
get_ipython().system = system
"""
)
os.environ["IPYTHONDIR"] = _ipython.name

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["jobflow", "matcalc"]
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
linkcheck_ignore = [r"http://127\.0\.0\.1.*"]


def in_rst(text: str) -> str:
    """A docstring, which is plain text with `names` in backticks, as reStructuredText."""
    parts = re.split(r"(?<!`)`([^`]+)`(?!`)", text)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"(?<!\\)([|*])", r"\\\1", parts[place])
        if place and re.match(r"\w", parts[place]):
            parts[place] = "\\ " + parts[place]
    parts[1::2] = [f"``{name}``" for name in parts[1::2]]
    return "".join(parts)


def docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """What autodoc calls with the lines of each docstring, to be changed in place."""
    lines[:] = in_rst("\n".join(lines)).split("\n")


def setup(app: Any) -> None:
    """Connect it, before napoleon takes the sections of a docstring apart."""
    app.connect("autodoc-process-docstring", docstring, priority=400)
