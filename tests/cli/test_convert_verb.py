import torch

from qwen2vl import load_model


def test_a_checkpoint_is_written_in_another_precision_and_in_several_files(run, taught_directory, tmp_path):
    result = run(
        "convert", taught_directory, "--out", tmp_path / "small", "--dtype", "bf16", "--max-shard-size", "200KB"
    )
    assert (result.code, result.out) == (0, f"{tmp_path / 'small'}\n")
    assert len(list((tmp_path / "small").glob("*.safetensors"))) > 1
    old, new = load_model(taught_directory), load_model(tmp_path / "small", dtype="fp32")
    for (name, one), other in zip(old.named_parameters(), new.parameters(), strict=True):
        assert torch.equal(one.bfloat16().float(), other), name


def test_a_converted_checkpoint_gives_the_same_answer(run, taught_directory, tmp_path, files):
    assert run("convert", taught_directory, "--out", tmp_path / "same").code == 0
    answer = [
        run("chat", "--model", model, "--image", files / "photo.png", "Where?").out
        for model in (taught_directory, tmp_path / "same")
    ]
    assert answer[0] == answer[1] != ""
