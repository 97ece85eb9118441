"""Verbs that touch no store work without pyarrow, which only the extra `train` installs."""

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['pyarrow'] = None; from qwen2vl.cli.main import main; sys.exit(main(sys.argv[1:]))"


def run_without_pyarrow(*argv, folder=None):
    command = [sys.executable, "-c", WITHOUT, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("verb", ["train", "plan"])
@pytest.mark.parametrize("recipe", ["micro", "finetune", "stage1"])
def test_help_of_a_recipe(verb, recipe):
    done = run_without_pyarrow(verb, recipe, "--help")
    assert done.returncode == 0, done.stderr
    assert "--train.save-every" in done.stdout


def test_convert(taught_directory, tmp_path):
    done = run_without_pyarrow("convert", taught_directory, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("verb", ["train", "plan"])
def test_a_verb_that_needs_it_says_how_to_install_it(verb, tmp_path):
    done = run_without_pyarrow(verb, "nano", folder=tmp_path)
    assert done.returncode == 2
    assert 'pip install "qwen2vl[train]"' in done.stderr
    assert done.stderr.count("\n") == 1
