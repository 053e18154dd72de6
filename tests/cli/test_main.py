"""The program as a whole: what its libraries print is no concern of whoever types a command."""

import os
import subprocess
import sys

import pytest

SEARCH = """
import sys, empnn.cli, numpy, spglib, warnings
warnings.simplefilter("ignore")
sys.argv = ["empnn", "models"]
try:
    empnn.cli.main()
except SystemExit:
    pass
generator = numpy.random.default_rng(0)
kinds, places = [1, 2, 3, 3, 3], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
for _ in range(2100):
    cell = 4 * numpy.eye(3) + generator.normal(size=(3, 3)) * 0.02
    spglib.get_symmetry((cell, places + generator.normal(size=(5, 3)) * 0.004, kinds), symprec=0.05)
"""


@pytest.mark.parametrize(("asked", "said"), [({}, False), ({"SPGLIB_WARNING": "ON"}, True)])
def test_spglib_says_nothing_unless_it_is_asked_to(asked: dict[str, str], said: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SPGLIB_WARNING"}
    result = subprocess.run(
        [sys.executable, "-c", SEARCH], env={**environment, **asked}, capture_output=True, text=True, check=True
    )
    assert ("failed" in result.stderr) == said


def test_python_runs_it_as_the_script_does() -> None:
    for words, status in ((["--version"], 0), (["relax", "missing.cif", "-o", "out.cif"], 1)):
        module = subprocess.run([sys.executable, "-m", "empnn", *words], capture_output=True, text=True, check=False)
        code = f"import sys; sys.argv = {['empnn', *words]}; from empnn.cli import main; main()"
        script = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert module.returncode == script.returncode == status
        assert (module.stdout, module.stderr) == (script.stdout, script.stderr)
