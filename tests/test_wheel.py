"""What people install: the wheel alone, away from the checkout, must hold the weights and answer."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ASK = """
from qwen2vl import Chat
answer = Chat("nano").ask("What do you see?", images=[sys.argv[1]], max_new_tokens=16)
print(answer.finish_reason, len(answer.text))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_weights_tokenizer_and_exam(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    checkpoint = {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"}
    assert {f"qwen2vl/nano/checkpoint/{name}" for name in checkpoint} <= names
    assert {"qwen2vl/nano/exams/exam.zip", "qwen2vl/nano/exams/languages.zip"} <= names
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "drawn_world" / "wording").glob("*.toml")} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_wheel_answers_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{ASK}"
    command = [sys.executable, "-c", script, str(ROOT / "examples" / "scene.png")]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    reason, length = done.stdout.split()
    assert reason == "stop"
    assert int(length) > 0
