"""docs/serve.md: its client runs, its figures are those of the result file, and its limits those of the code."""

import json
import re
from pathlib import Path

import pytest
from support.scripts import script
from support.web import CSCL_CIF, SALT, Client

from empnn.web.limits import Limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text()


def test_the_client_runs(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("candidates").mkdir()
    Path("candidates/a.cif").write_text(CSCL_CIF)
    Path("candidates/b.cif").write_text(SALT)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    body = snippet.partition("\n\n")[2]
    assert len(body.strip().splitlines()) <= 10
    exec(snippet.replace("http://127.0.0.1:8000", client.url), {})  # noqa: S102
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines[0].startswith("CsCl relaxed -")
    assert "refused" in lines[1]
    assert Path("CsCl-relaxed.cif").read_text().startswith("data_")


def test_the_figures_are_those_of_the_result_file() -> None:
    result = json.loads((ROOT / "benchmarks/results/serve.json").read_text())
    table = script("benchmarks/speed/serve.py").markdown(result)
    assert f"<!-- serve -->\n{table}\n<!-- /serve -->" in PAGE


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    for said in (
        f"more than {limits.megabytes:g} MB, {limits.structures:,} structures or {limits.all_atoms:,} atoms",
        f"more than {limits.atoms:,} atoms is refused alone",
        f"longer than {limits.seconds:g} s",
        f"({limits.requests} of them, or {limits.all_bytes // limits.bytes} of the largest)",
    ):
        assert said in PAGE
