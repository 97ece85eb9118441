import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from qwen2vl import __version__
from qwen2vl.cli import main as module
from qwen2vl.cli.env import EXTRAS, extra_state, extras_of, version_of
from qwen2vl.cli.main import VERBS, Verb
from qwen2vl.common.errors import PeerLostError


def test_help_lists_every_verb(run):
    result = run("--help")
    assert result.code == 0
    for name, verb in VERBS.items():
        assert f"  {name} " in result.out
        assert verb.help in result.out
    assert run().code == 2


def test_version_is_printed(run):
    assert run("--version").out == f"qwen2vl {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run, verb):
    result = run(verb, "--help")
    assert result.code == 0
    assert f"usage: qwen2vl {verb}" in result.out


def test_env_prints_the_versions(run):
    result = run("env")
    assert result.code == 0
    assert f"qwen2vl: {__version__}" in result.out
    assert "torch: 2." in result.out


def test_env_prints_cpu_features_threads_and_extras(run):
    facts = json.loads(run("env", "--json").out)
    assert facts["torch_threads"] == torch.get_num_threads()
    assert facts["default_device"] in ("cpu", "cuda")
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert [name for name in ("avx2", "avx512_bf16", "amx_tile") if f" {name} " in flags] == [
        name for name in facts["cpu_features"] if name in ("avx2", "avx512_bf16", "amx_tile")
    ]
    extras = {extra["name"]: extra for extra in facts["extras"]}
    assert extras["train"]["missing"] == [name for name in ("pyarrow", "tensorboard") if version_of(name) is None]
    text = run("env").out
    assert "cpu_features: " in text
    assert re.search(
        r"^extra train: (installed|without .*pip install \"qwen2vl\[train\]\"\)); enables qwen2vl data",
        text,
        re.MULTILINE,
    )


def test_env_knows_every_extra_of_the_package():
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) <= set(EXTRAS)
    declared = [
        "torch>=2",
        "pyarrow>=18; extra == 'train'",
        'tensorboard>=2; python_version > "3" and extra == "train"',
    ]
    assert extras_of(declared) == {"train": ["pyarrow", "tensorboard"]}


def test_a_missing_extra_says_how_to_install_it():
    line = extra_state({"name": "plot", "missing": ["matplotlib"]})
    assert line == 'without matplotlib (pip install "qwen2vl[plot]")'


def verb_that(monkeypatch, error):
    class Broken:
        @staticmethod
        def run(argv):
            raise error

    monkeypatch.setattr(module, "VERBS", {"break": Verb(help="", module="broken")})
    monkeypatch.setitem(sys.modules, "broken", Broken)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyError("x"), 1, "a fault of this program (KeyError): run it again with --debug"),
        (PeerLostError("another process has ended: see its message"), 1, "qwen2vl break: another process has ended"),
        (MemoryError(), 1, "the memory is not enough: use --max-pixels"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(0), 0, ""),
    ],
)
def test_errors_become_exit_codes(run, monkeypatch, error, code, message):
    verb_that(monkeypatch, error)
    result = run("break")
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


def test_nothing_heavy_is_imported_for_help_and_version():
    program = (
        "import sys; from qwen2vl.cli.main import main\n"
        "main(['--help']); main(['--version'])\n"
        "heavy = {'torch', 'numpy', 'PIL', 'av', 'tyro', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_not_an_error():
    command = f"{sys.executable} -m qwen2vl env | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr
