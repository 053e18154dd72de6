"""The page on adapters: each example runs as it stands, where its packages are installed."""

import re
from pathlib import Path

import pytest
from support.needed import needed

# The packages warn their own programmers.
pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = (Path(__file__).parents[2] / "docs/integrations.md").read_text()
EXAMPLES = dict(re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE))


def test_each_adapter_has_an_example():
    assert list(EXAMPLES) == ["ASE", "pymatgen", "jobflow and atomate2", "matcalc"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name, tmp_path, monkeypatch):
    for package in re.findall(r"^from (jobflow|atomate2|matcalc)\b", EXAMPLES[name], flags=re.MULTILINE):
        needed(package)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(EXAMPLES[name], found)  # noqa: S102
    if name == "ASE":
        assert found["result"].status == found["atoms"].info["empnn_status"] == "relaxed"
        assert found["first"].nsteps == 1
        assert found["atoms"].get_volume() == pytest.approx(16.8, abs=0.2)
    elif name == "pymatgen":
        assert found["made"].final_structure.composition.reduced_formula == "KCl"
        assert found["made"].final_structure.volume / 4 == pytest.approx(64.8, rel=0.05)
    elif name == "jobflow and atomate2":
        outputs = [found["responses"][job.uuid][1].output for job in found["flow"].jobs]
        assert [one.structure.volume / 4 for one in outputs] == pytest.approx([64.8, 64.8], rel=0.05)
    else:
        assert found["found"]["energy"] < 0.1
