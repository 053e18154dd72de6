"""The site of these pages: `make docs` builds it into docs/_build/html."""

import os
import sys
from pathlib import Path

from empnn.version import __version__

project = author = "empnn"
release = __version__
copyright = "the empnn developers, MIT licence"  # noqa: A001

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_api/*.rst.txt"]

html_theme = "furo"
html_title = f"empnn {release}"
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]

# Pages whose front matter names myst-nb are notebooks: run at each build, in folders of their own, and never in vain.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# Commands in them are those of the environment that builds.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["NO_COLOR"] = "1"

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["jobflow", "matcalc"]
autosummary_generate = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88
