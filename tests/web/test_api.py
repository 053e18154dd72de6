"""The interface: the JSON of the command from texts, errors in words, and nothing that one request does to another."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ase.io
import numpy as np
import pytest
from support.relaxing import run
from support.web import BROKEN, CSCL_CIF, SALT, Client

import empnn
from empnn.crystals import to_batch
from empnn.models import card_of

SAMPLES = Path(empnn.__file__).parent / "data/samples/strained.extxyz"


def test_the_answer_is_that_of_the_command(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "given.extxyz"
    path.write_text(SAMPLES.read_text() + BROKEN + SALT)
    command = json.loads(run("relax", str(path), "-o", str(tmp_path / "out.extxyz"), "--json").stdout)
    status, answer = client.post("relax", {"files": [{"name": str(path), "text": path.read_text()}]})
    assert status == 200
    assert {key: answer[key] for key in ("relaxed", "skipped")} == {"relaxed": 13, "skipped": 1}
    for mine, theirs in zip(answer["structures"], command["structures"], strict=True):
        numbers = [one.pop(key) or {} for key in ("change", "errors") for one in (mine, theirs)]
        assert mine == theirs
        for told, expected in zip(numbers[::2], numbers[1::2], strict=True):
            assert told.keys() == expected.keys()
            for name, value in expected.items():
                assert told[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-4))


@pytest.mark.parametrize("options", [{"fix": "positions"}, {"fix": "cell"}, {"passes": 2}, {"symmetrize": 0.1}])
def test_options_are_those_of_python(client: Client, options: dict[str, object]) -> None:
    (atoms,) = ase.io.read(SAMPLES, index=":1")
    expected = empnn.load("pbe").relax(atoms, **options).structures
    text = SAMPLES.read_text().partition("\n")[2]
    first = "4\n" + "\n".join(text.split("\n")[:5]) + "\n"
    (one,) = client.relax(first, write="extxyz", **options)["structures"]
    found = ase.io.read(io.StringIO(one["written"]), format="extxyz")
    assert np.allclose(found.cell.array, expected.cell.array, atol=1e-5)
    assert np.allclose(found.positions, expected.positions, atol=1e-4)


def test_pictures_hold_what_is_drawn(client: Client) -> None:
    (one,) = client.relax(SALT, pictures=True, passes=2)["structures"]
    picture = one["picture"]
    assert picture["numbers"] == [55, 17]
    assert np.allclose(picture["cell_before"], 5.9 * np.eye(3), atol=1e-6)
    assert picture["trajectory"][-1] == picture["cell_after"]
    assert np.abs(np.linalg.det(picture["cell_after"])) == pytest.approx(one["change"]["volume_after"], rel=1e-5)
    assert len(picture["trajectory"]) == 2 * len(
        client.relax(SALT, pictures=True)["structures"][0]["picture"]["trajectory"]
    )


def test_one_bad_structure_does_not_lose_the_others(client: Client) -> None:
    answer = client.relax(SALT, BROKEN, "nothing of the kind", CSCL_CIF, pictures=True, write="cif")
    assert (answer["relaxed"], answer["skipped"]) == (2, 2)
    assert [one["status"] == "refused" for one in answer["structures"]] == [False, True, True, False]
    for one in answer["structures"]:
        refused = one["status"] == "refused"
        assert (one["message"] is not None) == refused
        assert (one["written"] is None) == (one["picture"] is None) == refused
    assert "; " in answer["structures"][1]["message"]


def test_space_groups_are_looked_for_in_few_or_if_asked(client: Client) -> None:
    assert client.relax(CSCL_CIF)["structures"][0]["change"]["space_group_after"] == "Pm-3m (221)"
    assert "space_group_after" not in client.relax(CSCL_CIF, space_groups=False)["structures"][0]["change"]
    many = client.relax(SALT * 101)
    assert "space_group_after" not in many["structures"][0]["change"]
    assert "space_group_after" in client.relax(SALT * 101, space_groups=True)["structures"][100]["change"]


def test_the_same_identifier_twice_is_told_within_a_request_only(client: Client) -> None:
    first, second = client.relax(SALT, SALT)["structures"]
    assert (len(first["warnings"]), len(second["warnings"])) == (0, 1)
    assert client.relax(SALT)["structures"][0]["warnings"] == []


def test_strain_is_that_of_the_benchmark_and_comes_back(client: Client) -> None:
    relaxed = client.relax(CSCL_CIF, write="extxyz")["structures"][0]["written"]
    status, answer = client.post("strain", {"files": [{"text": relaxed}, {"text": BROKEN}], "sigma": 0.05, "seed": 3})
    assert (status, answer["strained"], answer["skipped"]) == (200, 1, 1)
    strained, broken = answer["structures"]
    assert broken["message"]
    before, after = (ase.io.read(io.StringIO(text), format="extxyz") for text in (relaxed, strained["written"]))
    generator = np.random.default_rng([3, 0]).normal(0, 0.05, (3, 3))
    values, vectors = np.linalg.eig(generator)
    expected = before.cell.array @ (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real.T
    assert np.allclose(after.cell.array, expected, atol=1e-6)
    back = client.relax(strained["written"])["structures"][0]["change"]
    true = before.cell.cellpar()
    assert np.abs(np.array(back["cell_after"]) - true).sum() < 0.5 * np.abs(np.array(back["cell_before"]) - true).sum()


@pytest.mark.parametrize("kind", ["cif", "poscar", "extxyz", "json"])
def test_files_are_what_convert_writes(client: Client, tmp_path: Path, kind: str) -> None:
    asked = {"files": [{"text": CSCL_CIF}], "format": kind}
    status, headers, content = client.ask("POST", "/api/convert", asked)
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    source, target = tmp_path / "crystals.cif", tmp_path / f"out.{'vasp' if kind == 'poscar' else kind}"
    source.write_text(CSCL_CIF)
    assert run("convert", str(source), str(target)).exit_code == 0
    assert content.decode() == target.read_text()


def test_a_zip_holds_all_formats_under_safe_names(client: Client) -> None:
    salts = [SALT, SALT, SALT.replace("=salt", '="../../etc/x y"'), SALT.replace("=salt", '="/.."')]
    asked = {"files": [{"text": salt} for salt in salts], "format": "zip", "answers": {"relaxed": 4}}
    status, _, content = client.ask("POST", "/api/convert", asked)
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert {"crystals.cif", "crystals.extxyz", "crystals.json", "answers.json"} < set(names)
        assert len(set(names)) == len(names) == 8
        assert not any(part.startswith(".") or " " in part for name in names for part in name.split("/"))
        assert json.loads(archive.read("answers.json")) == {"relaxed": 4}
        assert len(ase.io.read(io.StringIO(archive.read("crystals.extxyz").decode()), index=":", format="extxyz")) == 4


@pytest.mark.parametrize(
    ("what", "body", "status", "said"),
    [
        ("relax", {"files": []}, 422, "files: "),
        ("relax", {"files": [{"text": 1}]}, 422, "files.0.text: "),
        ("relax", {"files": [{"text": SALT}], "model": "perov"}, 422, "did you mean perov-5?"),
        ("relax", {"files": [{"text": SALT}], "model": "../pbe"}, 422, "no model ../pbe"),
        ("relax", {"files": [{"text": SALT}], "model": str(SAMPLES.parent)}, 422, "no model /"),
        ("relax", {"files": [{"text": SALT}], "model": "perov-5", "fix": "cell"}, 422, "this model moves cells only"),
        ("relax", {"files": [{"text": SALT}], "passes": 0}, 422, "passes: "),
        ("relax", {"files": [{"text": SALT}], "passes": 10**6}, 422, "passes: "),
        ("relax", {"files": [{"text": SALT}], "symmetrize": float("nan")}, 422, "symmetrize: "),
        ("relax", {"files": [{"text": SALT}], "fixed": "cell"}, 422, "fixed: "),
        ("strain", {"files": [{"text": SALT}], "sigma": 5}, 422, "sigma: "),
        ("convert", {"files": [{"text": SALT}, {"text": SALT}], "format": "poscar"}, 422, "holds one structure"),
        ("convert", {"files": [{"name": "a", "text": BROKEN}], "format": "cif"}, 422, "a[0]: it announces 2 atoms"),
        ("convert", {"files": [{"text": SALT}], "format": "traj"}, 422, "format: "),
    ],
)
def test_errors_say_what_is_wrong(client: Client, what: str, body: object, status: int, said: str) -> None:
    found, answer = client.post(what, body)
    assert found == status
    assert list(answer) == ["error"]
    assert said in answer["error"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [("{", "application/json", 400), ("[" * 100_000, "application/json", 400), ('{"files": []}', "text/plain", 422)],
)
def test_what_is_no_json_is_no_request(client: Client, body: str, kind: str, status: int) -> None:
    found, _, content = client.ask("POST", "/api/relax", body, Content_Type=kind)
    assert (found, list(json.loads(content))) == (status, ["error"])


def test_models_are_those_of_the_command_that_are_offered(client: Client) -> None:
    _, _, content = client.ask("GET", "/api/models")
    assert json.loads(content) == {name: card_of(name) for name in ("pbe", "perov-5")}
    _, _, content = client.ask("GET", "/api/about")
    about = json.loads(content)
    assert (about["model"], about["moving_atoms"]) == ("pbe", ["pbe"])
    assert about["elements"]["Cl"]["number"] == 17


def test_a_model_is_found_in_any_spelling(client: Client) -> None:
    assert client.relax(SALT, model="PEROV_5") == client.relax(SALT, model="perov-5")


def test_every_example_is_relaxed(client: Client) -> None:
    _, _, content = client.ask("GET", "/api/examples")
    examples = json.loads(content)
    assert len(examples) >= 4
    for example in examples:
        status, answer = client.post("relax", {"files": [example["file"]]})
        assert (status, answer["skipped"]) == (200, 0)


def test_many_at_a_time_are_all_answered_in_few_passes(client: Client) -> None:
    alone = client.relax(SALT)["structures"][0]["change"]
    before = client.app.state.batcher.passes
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda number: client.relax(SALT.replace("=salt", f"=s{number}")), range(40)))
    assert [answer["structures"][0]["id"] for answer in answers] == [f"s{number}" for number in range(40)]
    for answer in answers:
        assert answer["structures"][0]["change"]["volume_after"] == pytest.approx(alone["volume_after"], rel=1e-5)
    assert client.app.state.batcher.passes - before < 40


def test_infinite_and_missing_values_are_null(client: Client) -> None:
    text = SALT.replace("material_id=salt", "gap=nan charge=inf")
    _, _, content = client.ask("POST", "/api/relax", {"files": [{"text": text}], "write": "json", "pictures": True})
    assert b"NaN" not in content
    assert b"Infinity" not in content


@pytest.mark.parametrize(
    ("file", "status"),
    [({"text": "\udfff"}, 200), ({"text": "", "name": "\ud800"}, 422), ({"text": SALT + "\udfff"}, 200)],
)
def test_text_without_a_place_in_utf8_is_answered(client: Client, file: dict[str, str], status: int) -> None:
    assert client.post("relax", {"files": [file], "write": "cif"})[0] == status


def test_crystals_come_back_in_the_order_of_their_atoms(client: Client) -> None:
    twelve = client.relax(SAMPLES.read_text(), write="json")["structures"]
    for one, atoms in zip(twelve, ase.io.read(SAMPLES, index=":"), strict=True):
        found = empnn.data.formats.pymatgen_json.atoms_from_dict(one["written"])
        assert to_batch(found).numbers.tolist() == atoms.numbers.tolist()


@pytest.mark.parametrize("name", ["", "/", ".", "..", "../../a.cif", "\x00", "a\nb", "POSCAR", "x" * 200, ".cif"])
def test_a_text_may_be_called_anything(client: Client, name: str) -> None:
    status, answer = client.post("relax", {"files": [{"name": name, "text": SALT.replace("material_id=salt", "")}]})
    assert (status, len(answer["structures"])) == (200, 1)
    assert answer["structures"][0]["id"].isprintable()
    assert answer["structures"][0]["status"] != "refused" or name in ("../../a.cif", "POSCAR", ".cif")
