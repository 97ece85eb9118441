"""A conversation of several turns: what is kept between them, and that it does not change answers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import LengthError, MessageError
from qwen2vl.inference import Session
from qwen2vl.inference.session import CachedRow, common_prefix


def image_of(seed, height=84, width=112):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Recorder:
    """Records the number of patches in each run of the tower and the logits of each step."""

    def __init__(self, model):
        self.patches, self.logits = [], []
        self._handles = [
            model.visual.register_forward_hook(lambda module, args, out: self.patches.append(len(args[0]))),
            model.lm_head.register_forward_hook(lambda module, args, out: self.logits.append(out.clone())),
        ]

    def stop(self):
        for handle in self._handles:
            handle.remove()


@pytest.fixture
def recorder(chat):
    recorder = Recorder(chat.model)
    yield recorder
    recorder.stop()


def test_the_tower_sees_each_image_once_and_logits_equal_those_without_a_cache(chat, recorder):
    session = Session(chat, system="Be brief.")
    video = [image_of(seed, 56, 56) for seed in range(4)]
    turns = [("Greet", [image_of(1)], []), ("and this?", [image_of(2, 56, 140)], [video]), ("sure?", [], [])]
    for number, (question, images, videos) in enumerate(turns):
        before = len(recorder.patches)
        stream = session.ask(question, images, videos, max_new_tokens=6)
        kept, begin = stream.answer, len(recorder.logits) - stream.answer.usage.completion_tokens
        ran = recorder.patches[before:]
        assert ran == [[6 * 8], [4 * 10 + 2 * 4 * 4], []][number]
        assert (kept.usage.cached_tokens > 0) == (number > 0)
        logits = torch.cat(recorder.logits[begin:])
        fresh = chat.chat(session.messages[:-1], max_new_tokens=6)
        assert fresh.text == kept.text
        assert fresh.usage.prompt_tokens == kept.usage.prompt_tokens
        assert fresh.boxes == kept.boxes
        torch.testing.assert_close(logits, torch.cat(recorder.logits[-len(logits) :]), atol=2e-4, rtol=0)
    assert kept.usage.cached_tokens > kept.usage.prompt_tokens // 2


def test_files_are_opened_once(chat, photo, tmp_path):
    path = tmp_path / "photo.png"
    photo.save(path)
    session = Session(chat)
    assert session.ask("Where?", [str(path)]).answer.boxes
    path.unlink()
    second = session.ask("Where?", max_new_tokens=4).answer
    assert second.media_sizes[0].original_size == photo.size


def test_another_image_of_the_same_size_is_not_taken_from_the_cache(chat, recorder):
    """The ids are equal: only the digests differ."""
    one, two = image_of(1), image_of(2)
    session = Session(chat)
    session.ask("What?", [one], max_new_tokens=3).answer  # noqa: B018  reading it runs the stream
    session.messages[0]["content"][0]["image"] = two
    session._prepared = None
    answer = session.ask("sure?", max_new_tokens=6).answer
    assert answer.usage.cached_tokens < 40
    assert recorder.patches == [48, 48]
    assert answer.text == chat.chat(session.messages[:-1], max_new_tokens=6).text


def test_reset_forgets_messages_and_cache(chat, photo):
    session = Session(chat)
    first = session.ask("Where?", [photo]).answer
    session.reset()
    assert (session.messages, session.last) == ([], None)
    again = session.ask("Where?", [photo]).answer
    assert again == first
    assert again.usage.cached_tokens == 0


def test_an_interrupted_turn_leaves_a_valid_cache(chat, photo):
    for broken_layer_call in (1, 4):  # within the prompt; within the reply
        session = Session(chat)
        session.ask("Where?", [photo], max_new_tokens=4).answer  # noqa: B018
        calls = []

        def interrupt(*args, calls=calls, at=broken_layer_call):
            calls.append(1)
            if len(calls) == at:
                raise KeyboardInterrupt

        handle = chat.model.model.layers[1].register_forward_pre_hook(interrupt)
        stream = session.ask("Greet", max_new_tokens=8)
        try:
            with pytest.raises(KeyboardInterrupt):
                list(stream)
        finally:
            handle.remove()
        assert stream.answer.finish_reason == "interrupted"
        assert session.messages[-1] == {"role": "assistant", "content": stream.answer.text}
        third = session.ask("and now?", max_new_tokens=8).answer
        assert third.usage.cached_tokens > 0
        assert third.text == chat.chat(session.messages[:-1], max_new_tokens=8).text


def test_a_refused_turn_leaves_the_conversation_unchanged(chat, photo):
    session = Session(chat)
    session.ask("Where?", [photo], max_new_tokens=4).answer  # noqa: B018
    before = list(session.messages)
    for error, question in ((MessageError, " "), (LengthError, "word " * 600)):
        with pytest.raises(error):
            session.ask(question)
        assert session.messages == before
    answer = session.ask("sure?", max_new_tokens=4).answer
    assert answer.usage.cached_tokens > 0
    assert answer.text == chat.chat(session.messages[:-1], max_new_tokens=4).text


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_common_prefix_is_equal_and_never_ends_inside_an_image(taught_processor, data):
    """Two random conversations of few words and few images; digests decide where ids are equal."""
    parts = st.one_of(st.sampled_from(["Hm", "word", "red dot"]), st.integers(0, 2))

    def prepared(chosen):
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image", "image": image_of(part, 56, 56)}
            for part in chosen
        ]
        return taught_processor.prepare([{"role": "user", "content": [*content, {"type": "text", "text": "?"}]}])

    old_parts = data.draw(st.lists(parts, max_size=5))
    same = data.draw(st.integers(0, len(old_parts)))
    new_parts = old_parts[:same] + data.draw(st.lists(parts, max_size=4))
    old, new = prepared(old_parts), prepared(new_parts)
    row = CachedRow(ids=old.inputs.ids.numpy(), digests=tuple(info.digest for info in old.media))
    common = common_prefix(row, new, taught_processor.config)
    assert common < new.inputs.num_tokens
    assert torch.equal(old.inputs.ids[:common], new.inputs.ids[:common])
    is_pad = new.inputs.ids == taught_processor.config.tokens.image_pad
    assert not (common > 0 and is_pad[common - 1] and is_pad[common])
    num_images = int((old.inputs.ids[:common] == taught_processor.config.tokens.vision_end).sum())
    assert [i.digest for i in old.media[:num_images]] == [i.digest for i in new.media[:num_images]]
