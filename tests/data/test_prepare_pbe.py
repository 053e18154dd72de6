"""The script that makes the training set of `pbe`, where it cannot."""

from pathlib import Path

import pytest
from support.scripts import script

ROOT = Path(__file__).parents[2]


def test_a_folder_that_is_not_there_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr("sys.argv", ["prepare_pbe.py", str(nowhere), str(nowhere), "-o", str(tmp_path / "made")])
    with pytest.raises(SystemExit) as caught:
        script("scripts/prepare_pbe.py").main()
    assert caught.value.code == f"{nowhere}: no such file; check the path"
    assert not (tmp_path / "made").exists()
