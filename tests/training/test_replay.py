"""Any step of a run can be read again from its folder, with the digest that is in its metrics."""

import pytest

from qwen2vl.cli.main import main
from qwen2vl.common.errors import ConfigError
from qwen2vl.training.replay import replay
from qwen2vl.training.run_directory import read_metrics
from tests.data.conftest import records_in, write_lines


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, taught_directory):
    """Six steps of a fine-tune; before the last three, one image is damaged."""
    folder = tmp_path_factory.mktemp("replayed")
    records = [record | {"id": f"{record['id']}-{copy}"} for copy in range(30) for record in records_in(folder)]
    write_lines(folder / "my.jsonl", records)
    words = ["train", "finetune", "--model", str(taught_directory), "--data", str(folder / "my.jsonl")]
    words += ["--run-dir", str(folder / "run"), "--steps", "6", "--tokens", "512", "--packs-per-step", "2"]
    words += ["--num-workers", "0", "--train.precision", "fp32", "--train.max-quarantined", "1.0"]
    assert main([*words, "--max-steps", "3"]) == 0
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff lost")
    assert main(words) == 0
    return folder / "run"


def test_every_step_has_the_digest_of_the_metrics(run_dir):
    lines = [line for line in read_metrics(run_dir / "metrics.jsonl") if "loss" in line]
    assert len(lines) == 6
    for line in lines:
        step = replay(run_dir, line["step"])
        assert step.digest == line["plan_digest"]
        assert sum(pack.inputs.num_documents for pack in step.packs) == line["samples"]
        supervised = sum(int((pack.inputs.labels >= 0).sum()) for pack in step.packs)
        if line["step"] > 3:
            assert supervised == line["supervised_tokens"]


def test_a_step_is_shown_as_a_page(run_dir, tmp_path):
    assert main(["data", "show", str(run_dir), "--step", "5", "--out", str(tmp_path / "step.html")]) == 0
    text = (tmp_path / "step.html").read_text()
    assert f"plan {replay(run_dir, 5).digest[:16]}" in text
    assert "stage finetune" in text


@pytest.mark.parametrize("step", [0, 7, -1])
def test_a_step_that_the_run_does_not_have_is_refused(run_dir, step):
    with pytest.raises(ConfigError, match=f"step {step} is not a step of the run: it has 6"):
        replay(run_dir, step)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        replay(tmp_path, 1)
