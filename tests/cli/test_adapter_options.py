"""`chat --adapter` and `convert --adapter`, with an adapter that changes what the taught model says about the red dot."""

import pytest
import torch

from qwen2vl import Chat, load_model, load_processor
from qwen2vl.model.lora import LoraConfig, adapter_state, add_adapter, load_adapter, save_adapter


@pytest.fixture(scope="module")
def adapter(taught_directory, tmp_path_factory):
    model = load_model(taught_directory, device="cpu", dtype="fp32")
    add_adapter(model, LoraConfig(rank=4, targets=("down_proj", "fc2"), parts=("tower", "decoder")), seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in adapter_state(model).items():
        if ".lora_B." in name:
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    directory = tmp_path_factory.mktemp("adapters") / "learned"
    save_adapter(model, directory)
    return directory


@pytest.fixture
def ask(run, files):
    return lambda model, *argv: run(
        "chat", "--model", model, "--max-new-tokens", "8", "--image", files / "photo.png", *argv, "Where?"
    )


def test_chat_and_export_give_the_same_answer_which_is_not_that_of_the_base(
    run, ask, taught_directory, adapter, tmp_path, photo
):
    plain, adapted = ask(taught_directory), ask(taught_directory, "--adapter", adapter)
    assert (plain.code, adapted.code) == (0, 0)
    assert plain.out != adapted.out
    result = run("convert", taught_directory, "--adapter", adapter, "--out", tmp_path / "new")
    assert (result.code, result.out) == (0, f"{tmp_path / 'new'}\n")
    assert ask(tmp_path / "new").out == adapted.out
    texts = [
        Chat(source, adapter=learned).ask("Where?", images=[photo], max_new_tokens=8).text
        for source, learned in ((taught_directory, adapter), (tmp_path / "new", None))
    ]
    assert texts[0] == texts[1]


def test_logits_of_the_export_are_those_of_the_adapted_model(run, taught_directory, adapter, tmp_path):
    assert run("convert", taught_directory, "--adapter", adapter, "--out", tmp_path / "new").code == 0
    model = load_model(taught_directory, device="cpu", dtype="fp32")
    load_adapter(model, adapter)
    inputs = load_processor(taught_directory)([{"role": "user", "content": "Greet"}])
    exported = load_model(tmp_path / "new", device="cpu", dtype="fp32")
    with torch.inference_mode():
        expected = model(inputs).logits
        scale = float(expected.abs().max())
        torch.testing.assert_close(exported(inputs).logits, expected, atol=1e-5 * scale, rtol=0)


def test_adapters_that_do_not_fit_are_refused(run, ask, taught_directory, adapter, tmp_path):
    result = ask(taught_directory, "--adapter", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "has no adapter_config.json: give the directory of an adapter" in result.err
    result = run("convert", "nano", "--adapter", adapter, "--out", tmp_path / "new")
    assert result.code == 2
    assert "its tensors must be exactly those" in result.err
    assert not (tmp_path / "new").exists()
