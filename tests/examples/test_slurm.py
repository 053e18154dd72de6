"""The job scripts as Slurm runs them: with its variables, its commands stood in for, and ours for real."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from support.relaxing import salt, tiny_model

SCRIPTS = Path(__file__).parents[2] / "examples/slurm"
EMPNN = f"""#!/usr/bin/env bash
exec {sys.executable} -c 'from empnn.cli import main; main()' "$@"
"""
SBATCH = """#!/usr/bin/env bash
# Runs each task of what is queued at once, and says the number of the job.
set -u
first=0 last=0 array=
while [[ $1 == --* ]]; do
    case $1 in
        --array=*) array=1; range=${1#*=}; first=${range%-*}; last=${range#*-};;
        --dependency=*) echo "$1" >>"$LOG";;
    esac
    shift
done
for task in $(seq "$first" "$last"); do
    if [[ -n $array ]]; then
        export SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_MIN=$first SLURM_ARRAY_TASK_COUNT=$((last - first + 1))
    fi
    SLURM_CPUS_PER_TASK=1 bash "$@" >&2
    echo "$? $(basename "$1")" >>"$LOG"
done
echo "4711;here"
"""
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
echo localhost
"""
ECHO = """#!/usr/bin/env bash
# A cluster that is asked for answers once both of its parts were started.
for _ in $(seq 200); do
    [[ "{name} $1" != "ray status" || $(grep -c "^ray start" "$LOG") == 2 ]] && break
    sleep 0.1
done
echo "{name} $*" >>"$LOG"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model"), elements=[11, 17], strain_limit=9))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Runs a script in a folder of its own; returns its status, and what was logged."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    log.touch()

    def put(name, text):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    for name, text in (("empnn", EMPNN), ("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        put(name, text)

    def start(script, *arguments, variables=None, echoed=()):
        for name in echoed:
            put(name, ECHO.format(name=name))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "LOG": str(log),
            **(variables or {}),
        }
        done = subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments], env=environment, capture_output=True, text=True, timeout=300
        )
        return done, log.read_text().splitlines()

    return start


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.stem)
def test_scripts_are_bash_that_stops_at_errors(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert script.stat().st_mode & stat.S_IXUSR
    directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in directives)
    # Slurm reads directives up to the first command only.
    assert all(text.index(line) < text.index("set -euo") for line in directives)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def test_an_array_and_what_joins_it(slurm):
    ase.io.write("in.extxyz", [salt(f"mp-{index}") for index in range(3)])
    done, log = slurm("submit.sh", "in.extxyz", "out.extxyz", "2")
    assert done.returncode == 0, done.stderr
    assert log == ["0 relax_array.sh", "0 relax_array.sh", "--dependency=afterany:4711", "0 merge.sh"]
    assert [atoms.info["material_id"] for atoms in ase.io.read("out.extxyz", ":")] == ["mp-0", "mp-1", "mp-2"]


def test_tasks_numbered_otherwise_and_queued_again(slurm, model):
    ase.io.write("in.extxyz", [salt(f"mp-{index}") for index in range(3)])
    for task in (3, 5, 7, 5):
        numbers = {"ID": task, "MIN": 3, "MAX": 7, "STEP": 2, "COUNT": 3}
        variables = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in numbers.items()}
        done, _ = slurm("relax_array.sh", "in.extxyz", "shards", "--model", model, variables=variables)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path("shards").glob("*.extxyz")) == [
        f"0000{i}-of-00003.extxyz" for i in range(3)
    ]


def test_training_asks_for_what_the_job_has(slurm):
    job = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "4"}
    done, log = slurm("train_torchrun.sh", "mine.yaml", variables=job, echoed=["torchrun"])
    assert done.returncode == 0, done.stderr
    assert log == [
        "torchrun --nnodes=2 --nproc-per-node=4 --rdzv-id=7 --rdzv-backend=c10d --rdzv-endpoint=localhost:29500 "
        "--no-python empnn train mine.yaml train.nodes=2 train.devices=4"
    ]


def test_ray_is_started_on_all_nodes_and_used_by_address(slurm):
    job = {"SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "8"}
    done, log = slurm("ray.sh", "relax", "in/", "-o", "out/", variables=job, echoed=["ray", "empnn"])
    assert done.returncode == 0, done.stderr
    assert sorted(log) == [
        "empnn relax in/ -o out/ --cluster localhost:6379",
        "ray start --address=localhost:6379 --num-cpus=8 --block",
        "ray start --head --port=6379 --num-cpus=8 --include-dashboard=false --block",
        "ray status --address=localhost:6379",
    ]
