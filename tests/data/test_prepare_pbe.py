"""The script that makes the training set of `pbe`, where it cannot."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_folder_that_is_not_there_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("prepare_pbe", ROOT / "scripts/prepare_pbe.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr("sys.argv", ["prepare_pbe.py", str(nowhere), str(nowhere), "-o", str(tmp_path / "made")])
    with pytest.raises(SystemExit) as caught:
        script.main()
    assert caught.value.code == f"{nowhere}: no such file; check the path"
    assert not (tmp_path / "made").exists()
