"""jobflow and atomate2: a maker for the slot of a pre-relaxation, in flows that are run here."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from monty.json import MontyDecoder
from pymatgen.core import Lattice, Structure
from support.needed import needed
from support.relaxing import tiny_model

import empnn
from empnn.errors import CrystalError

# The packages and their databases warn their own programmers.
pytestmark = pytest.mark.filterwarnings("ignore")

CORNERS = list(itertools.product((0, 0.5), repeat=3))
SALT = Structure(
    Lattice.orthorhombic(5.2, 5.4, 5.6), ["Na" if sum(place) % 1 == 0 else "Cl" for place in CORNERS], CORNERS
)


def maker(**options):
    needed("jobflow")
    from empnn.integrations.jobflow import EMPNNRelaxMaker

    return EMPNNRelaxMaker(**options)


@pytest.fixture
def run(tmp_path):
    """What each job of a flow gives, by the order of the jobs."""
    jobflow = needed("jobflow")

    def outputs(flow, **options):
        root = tmp_path / "jobs"
        root.mkdir()
        found = jobflow.run_locally(flow, log=False, create_folders=True, root_dir=root, **options)
        jobs = [job for job, _ in flow.iterflow()] if isinstance(flow, jobflow.Flow) else [flow]
        return [found[job.uuid][1].output for job in jobs if job.uuid in found]

    return outputs


def test_a_job(run, tmp_path):
    folder = str(tiny_model(tmp_path / "model"))
    (found,) = run(maker(model=folder, passes=2).make(SALT), raise_immediately=True)
    relaxer = empnn.load(folder)
    expected = relaxer.relax(SALT, passes=2)
    assert found.structure.lattice == expected.structures.lattice
    assert found.structure.properties == {"empnn_status": "relaxed"}
    assert (found.status, found.warnings, found.dir_name) == ("relaxed", [], None)
    assert found.volume_change == pytest.approx(found.structure.volume / SALT.volume - 1)
    assert found.strain == pytest.approx(np.sqrt((expected.strain**2).sum()))
    assert found.displacement == 0
    assert (found.model, found.digest, found.empnn_version) == (folder, relaxer.digest(), empnn.__version__)


def test_what_cannot_be_relaxed_is_a_job_that_fails(run, tmp_path):
    model = str(tiny_model(tmp_path / "model"))
    disordered = Structure(Lattice.cubic(4), [{"Fe": 0.5}], [[0, 0, 0]])
    with pytest.raises(CrystalError, match="disordered"):
        run(maker(model=model).make(disordered), raise_immediately=True)


def test_makers_and_jobs_go_through_json(tmp_path, run):
    """As they do on their way to a database and to the machine that runs them."""
    options = {"model": str(tiny_model(tmp_path / "model")), "fix": "positions", "passes": 2, "device": "cpu"}
    given = maker(**options)
    again = MontyDecoder().decode(json.dumps(given.as_dict()))
    assert again == given
    job = MontyDecoder().decode(json.dumps(again.make(SALT).as_dict(), default=lambda found: found.as_dict()))
    (found,) = run(job, raise_immediately=True)
    assert found.structure.frac_coords == pytest.approx(SALT.frac_coords)
    assert found.structure.lattice != SALT.lattice


def test_the_next_job_starts_from_it(run, tmp_path):
    jobflow = needed("jobflow")
    first = maker(model=str(tiny_model(tmp_path / "model"))).make(SALT)
    second = maker(model="pbe").make(first.output.structure, prev_dir=first.output.dir_name)
    one, two = run(jobflow.Flow([first, second], output=second.output), raise_immediately=True)
    expected = empnn.load("pbe").relax(one.structure).structures
    assert two.structure.lattice.matrix == pytest.approx(expected.lattice.matrix)
    with pytest.raises(AttributeError, match="energy"):
        first.output.energy.total  # noqa: B018


def test_before_chgnet_in_the_flow_of_atomate2(run):
    """EMPNN, then CHGNet: the second job starts from the answer of the first."""
    needed("atomate2")
    needed("chgnet")
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker
    from atomate2.vasp.flows.core import DoubleRelaxMaker

    chgnet = ForceFieldRelaxMaker(force_field_name="CHGNet", relax_kwargs={"fmax": 0.05})
    flow = DoubleRelaxMaker(relax_maker1=maker(), relax_maker2=chgnet).make(SALT)
    assert [job.name for job, _ in flow.iterflow()] == ["EMPNN relax 1", "Force field relax 2"]
    pre, last = run(flow, raise_immediately=True)
    assert abs(pre.structure.volume / last.structure.volume - 1) < 0.05 < abs(SALT.volume / last.structure.volume - 1)
    assert np.allclose(last.input.structure.lattice.matrix, pre.structure.lattice.matrix)
    assert last.output.energy_per_atom == pytest.approx(-3.668, abs=0.01)


@pytest.mark.parametrize("flow", ["DoubleRelaxMaker", "CHGNetVaspRelaxMaker"])
def test_before_vasp_in_the_flows_of_atomate2(run, monkeypatch, flow):
    """EMPNN, then VASP, whose inputs are written for the answer; VASP itself is not here."""
    needed("atomate2")
    from atomate2.forcefields.flows.relax import CHGNetVaspRelaxMaker
    from atomate2.vasp.flows.core import DoubleRelaxMaker
    from atomate2.vasp.jobs.core import RelaxMaker

    written = []

    def stop(**_):
        written.append(Structure.from_file("POSCAR"))
        raise RuntimeError("no VASP here")

    monkeypatch.setattr("atomate2.vasp.jobs.base.run_vasp", stop)
    vasp = RelaxMaker(write_input_set_kwargs={"potcar_spec": True})
    makers = {
        "DoubleRelaxMaker": lambda: DoubleRelaxMaker(relax_maker1=maker(), relax_maker2=vasp),
        "CHGNetVaspRelaxMaker": lambda: CHGNetVaspRelaxMaker(chgnet_maker=maker(), vasp_maker=vasp),
    }
    pre, *_ = run(makers[flow]().make(SALT))
    (given,) = written
    assert given.lattice.parameters == pytest.approx(pre.structure.lattice.parameters, abs=1e-6)
    assert given.lattice.parameters != pytest.approx(SALT.lattice.parameters, abs=0.05)


def test_each_adapter_needs_its_own_package_only():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['jobflow', 'atomate2', 'matcalc']))\n"
        "import empnn.integrations.ase, empnn.integrations.pymatgen, empnn.integrations.matcalc\n"
        "try: import empnn.integrations.jobflow\n"
        "except ImportError as error: print(error)"
    )
    path = {"PYTHONPATH": str(Path(empnn.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    said = "empnn.integrations.jobflow needs jobflow; pip install 'empnn[integrations]' or jobflow alone\n"
    assert done.stdout == said
