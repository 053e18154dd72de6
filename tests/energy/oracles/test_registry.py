"""The registry: names, options, and a sentence for what is missing."""

import pytest
from support.calculators import EMT_PATH

from empnn.energy import ORACLES, EnergyOracle, load_oracle
from empnn.energy.oracle import about, check_covered, need
from empnn.energy.oracles.gpaw import mesh_of, mesh_settings
from empnn.errors import ConfigError, CrystalError

PACKAGES = {"chgnet": ("chgnet", "energy"), "sevennet": ("sevenn", "energy"), "gpaw": ("gpaw", "dft")}


def test_names():
    assert list(ORACLES) == ["chgnet", "sevennet", "gpaw", "vasp-inputs"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("chgnett", {}, "did you mean chgnet"),
        ("nothing", {}, "module:Class"),
        ("no.such.module:Class", {}, "ModuleNotFoundError"),
        ("ase.calculators.emt:Nothing", {}, "AttributeError"),
        ("support.calculators:Counting", {"mistake": 1}, "TypeError"),
        ("json:dumps", {"obj": 1}, "makes no ASE calculator"),
        ("vasp-inputs", {}, "name the folder for them"),
        ("vasp-inputs", {"folder": ".", "cutof": 1}, "vasp-inputs takes"),
        ("vasp-inputs", {"folder": ".", "cutoff": -1.0}, "cutoff"),
        ("vasp-inputs", {"folder": ".", "cutoff": "high"}, "check the options"),
        ("vasp-inputs", {"folder": ".", "kpoints": [1, 2]}, "give positive numbers"),
        ("vasp-inputs", {"folder": ".", "kpoints": 0}, "give positive numbers"),
        ("vasp-inputs", {"folder": ".", "nsw": 0}, "give a whole positive nsw"),
        (EMT_PATH, {"asap_cutoff": float("nan")}, "finite numbers"),
        ("vasp-inputs", {"folder": ".", "kpoint_density": 0.0}, "per inverse angstrom"),
        ("vasp-inputs:PBE", {"folder": "."}, "no models to choose from"),
        ("sevennet:7net-huge", {}, "7net-0, 7net-l3i5"),
    ],
)
def test_mistakes(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_oracle(name, options)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_extra_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr("empnn.energy.oracle.find_spec", lambda module: None)
    package, extra = PACKAGES[name]
    how = "scripts/install_gpaw.sh builds it" if extra == "dft" else rf"pip install 'empnn\[{extra}\]'"
    with pytest.raises(ConfigError, match=rf"{package} is not installed; {how}"):
        load_oracle(name)


def test_versions():
    emt = load_oracle(EMT_PATH)
    assert isinstance(emt, EnergyOracle)
    assert about(emt)["version"] == need("ase", "energy")
    assert about(emt)["settings"] == {}


def test_elements_are_refused_by_name(tmp_path):
    oracle = load_oracle("vasp-inputs", {"folder": str(tmp_path)})
    check_covered([1, 8, 92], oracle)
    with pytest.raises(CrystalError, match="vasp-inputs does not cover Lr, Og"):
        check_covered([8, 118, 103], oracle)
    check_covered([118], load_oracle(EMT_PATH))


def test_meshes():
    from ase.build import bulk

    diamond = bulk("C", "diamond", 3.567)
    assert mesh_of(diamond, {"kpoints": [7, 7, 7]}) == (7, 7, 7)
    assert mesh_of(diamond, {"kpoint_density": 2.2}) == (7, 7, 7)
    assert mesh_of(diamond, mesh_settings(5, None)) == (5, 5, 5)
    assert mesh_of(diamond * (1, 1, 2), {"kpoint_density": 2.2}) == (7, 7, 4)
