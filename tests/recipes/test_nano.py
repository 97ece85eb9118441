"""The recipe: rows are a function of the step, dealt out whole; the curriculum covers the run."""

import pytest
import torch

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.nano.world import DENSE, TASKS, draw
from qwen2vl.recipes.nano import CURRICULUM, MEDIA, NanoRows, mix_of, nano_processor
from qwen2vl.spec.config import NANO


def fonts_installed() -> bool:
    try:
        draw("read_word", 0)
    except Qwen2VLError:
        return False
    return True


needs_fonts = pytest.mark.skipif(
    not fonts_installed(), reason="fonts and words are not installed: scripts/install-fonts.sh"
)


def test_the_curriculum_covers_the_run_with_known_tasks():
    *bounded, last = CURRICULUM
    assert last.until is None
    assert [phase.until for phase in bounded] == sorted(phase.until for phase in bounded)
    assert {task for phase in CURRICULUM for mix in phase.mixes for task in mix.weights} <= {*TASKS, *DENSE}
    assert set(TASKS) <= {task for mix in last.mixes for task in mix.weights}


def test_the_steps_of_a_phase_take_its_mixes_in_turn():
    start = CURRICULUM[-2].until
    mixes = CURRICULUM[-1].mixes
    assert [mix_of(start + step) for step in range(len(mixes))] == [
        mixes[(start + step) % len(mixes)] for step in range(len(mixes))
    ]
    assert mix_of(start - 1) in CURRICULUM[-2].mixes
    assert mix_of(10**6) in mixes


def test_every_task_ends_in_its_full_form():
    for task in TASKS:
        eases = [mix.ease for phase in CURRICULUM for mix in phase.mixes if task in mix.weights]
        assert eases[-1] == 0.0, task


def test_tokenizer_and_model_fit():
    processor = nano_processor()
    assert processor.tokenizer.size <= NANO.text.vocab_size
    assert processor.settings == MEDIA
    assert len(processor.tokenizer.encode(" circle")) == 1
    assert len(processor.tokenizer.encode("harbor")) == 6  # free-standing words are spelled letter by letter


@needs_fonts
def test_rows_depend_on_the_step_alone():
    first, again = NanoRows(4, 0, Replicas()), NanoRows(4, 0, Replicas())
    again(3)  # whatever came before
    for step in (0, 57):
        one, other = first(step), again(step)
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.patches, other.patches)
    assert not torch.equal(first(56).ids, first(57).ids)
    assert not torch.equal(NanoRows(4, 1, Replicas())(57).ids, first(57).ids)


@needs_fonts
def test_processes_share_the_samples_of_a_step():
    whole = NanoRows(6, 0, Replicas())(80)
    parts = [NanoRows(6, 0, Replicas(rank, 2))(80) for rank in range(2)]
    assert sum(part.num_documents for part in parts) == whole.num_documents
    assert sum(part.num_tokens for part in parts) == whole.num_tokens
    lengths = [length for part in parts for length in part.segments.diff().tolist()]
    assert sorted(whole.segments.diff().tolist()) == sorted(lengths)
