"""Sphinx configuration; builds without network."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ctapipe_gammalearn
from ctapipe_gammalearn.reco import GammaPhysNetReconstructor

project = "ctapipe-gammalearn"
copyright = "ctapipe-gammalearn developers, BSD-3-Clause"
version = release = ctapipe_gammalearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx_automodapi.automodapi",
    "numpydoc",
]
exclude_patterns = ["_build", "changes", "**/_*.rst"]
default_role = "literal"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_theme_options = {"show_prev_next": False, "show_nav_level": 2}
html_title = f"{project} {version}"

numpydoc_show_class_members = False
automodsumm_inherited_members = False
automodapi_toctreedirnm = "api"
automodapi_writereprocessed = False
autodoc_typehints = "none"
autodoc_preserve_defaults = True

nitpicky = True
# No inventories of other projects are fetched, so their names stay plain text.
nitpick_ignore_regex = [
    (r"py:.*", r"(ctapipe|torch|numpy|astropy|traitlets|collections|pathlib|enum)\..*"),
    (r"py:class", r"ctapipe_gammalearn\.(nn\.engines\.(base|rows)|reco\.deferred)\..*"),
    (r"py:class", r"(object|Module|Tool|Component|Reconstructor|TelescopeComponent)"),
]


def write_configuration_table():
    """Table of the reconstructor's options, from the traits themselves."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 20 20 60", ""]
    lines += ["   * - option", "     - default", "     - meaning"]
    for name, trait in sorted(GammaPhysNetReconstructor.class_traits(config=True).items()):
        if trait.this_class.__module__.startswith("ctapipe_gammalearn"):
            default = trait.default_value_repr()
            text = " ".join(trait.help.split()).replace("*", r"\*").replace("..", ".")
            lines += [f"   * - ``{name}``", f"     - ``{default}``", f"     - {text}"]
    target = Path(__file__).parent / "reference" / "_configuration.rst"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


write_configuration_table()
