import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models

from qwen2vl.processing.chat_template import (
    CHAT_TEMPLATE,
    IGNORED,
    Special,
    Text,
    media_parts,
    render,
    render_text,
    tokenise,
)
from qwen2vl.processing.messages import parse_messages
from qwen2vl.processing.tokenizer import Tokenizer, build_nano_tokenizer
from qwen2vl.spec.tokens import (
    BOX_END,
    BOX_START,
    GROUNDING_TOKENS,
    IM_END,
    IM_START,
    IMAGE_PAD,
    REF_END,
    REF_START,
    SPECIAL_TOKENS,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
)

IMAGE, VIDEO = {"type": "image", "image": "a.png"}, {"type": "video", "video": "a.mp4"}
REPLY = f"It is {REF_START}the cat{REF_END}{BOX_START}(1,2),(3,4){BOX_END}."


def text(words):
    return {"type": "text", "text": words}


def message(role, *parts):
    return {"role": role, "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)}


def expected(messages, add_generation_prompt, add_vision_id):
    """The rules of [paper 1.6] applied to dictionaries, one by one."""
    out, images, videos = "", 0, 0
    if messages[0]["role"] != "system":
        out += "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    roles = [None, *(turn["role"] for turn in messages), None]
    for turn, before, after in zip(messages, roles, roles[2:], strict=False):
        if turn["role"] == "function":
            out += "\n✿RESULT✿: "
        elif before == "function":
            out += "\n✿RETURN✿: "
        else:
            out += f"<|im_start|>{turn['role']}\n"
        parts = [text(turn["content"])] if isinstance(turn["content"], str) else turn["content"]
        for part in parts:
            if "image" in part or "image_url" in part:
                images += 1
                out += f"Picture {images}: " if add_vision_id else ""
                out += "<|vision_start|><|image_pad|><|vision_end|>"
            elif "video" in part or "video_url" in part:
                videos += 1
                out += f"Video {videos}: " if add_vision_id else ""
                out += "<|vision_start|><|video_pad|><|vision_end|>"
            else:
                out += part["text"]
        out += "" if "function" in (turn["role"], after) else "<|im_end|>\n"
    prompt = "\n✿RETURN✿:" if messages[-1]["role"] == "function" else "<|im_start|>assistant\n"
    return out + (prompt if add_generation_prompt else "")


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["\n", " ", "Hi", IM_END, REPLY]
)
parts = st.one_of(
    st.builds(text, words),
    st.builds(lambda t: {"text": t}, words),
    st.sampled_from(
        [
            IMAGE,
            {"image": "b"},
            {"type": "image_url", "image_url": {"url": "c"}},
            {"image_url": "c", "max_pixels": 7840},
            VIDEO,
            {"video": ["a", "b"]},
            {"type": "video_url", "video_url": {"url": "d"}},
            {"video_url": "d", "fps": 1},
        ]
    ),
)


def turns_of(*roles):
    return st.fixed_dictionaries({"role": st.sampled_from(roles), "content": words | st.lists(parts, max_size=4)})


turns = turns_of("system", "user", "assistant")
calls = st.tuples(turns_of("assistant"), turns_of("function")) | st.tuples(
    turns_of("assistant"), turns_of("function"), turns_of("function")
)
traces = st.builds(
    lambda calls, answer: [*(turn for call in calls for turn in call), answer],
    st.lists(calls, max_size=2),
    turns_of("assistant"),
)
conversations = st.lists(turns, min_size=1, max_size=5)
agents = st.builds(
    lambda before, trace, after, call: [*before, *trace, *after, *call],
    st.lists(turns, max_size=2),
    traces,
    st.lists(turns, max_size=2),
    calls | st.just(()),
)
TWO_TURNS = [
    message("system", "Be brief."),
    message("user", IMAGE, IMAGE, text("Compare."), VIDEO),
    message("assistant", REPLY),
    message("user", text("And "), text("now?"), IMAGE),
]
CALLS = ["I look.\n✿FUNCTION✿: Home\n✿ARGS✿: {}", '✿FUNCTION✿: Tap\n✿ARGS✿: {"point": [348, 291]}']
TRACE = [
    message("user", IMAGE, text("Open the mail.")),
    message("assistant", CALLS[0]),
    message("function", text("Done."), IMAGE),
    message("assistant", CALLS[1]),
    message("function", IMAGE),
    message("assistant", f"It is {BOX_START}(1,2),(3,4){BOX_END}."),
]


def rendered(messages, **options):
    return render_text(render(parse_messages(messages), **options))


@settings(deadline=None, max_examples=200)
@given(messages=conversations | agents, prompt=st.booleans(), ids=st.booleans())
@example(messages=TWO_TURNS, prompt=True, ids=True)
@example(messages=TRACE, prompt=False, ids=True)
@example(messages=TRACE[:-1], prompt=True, ids=False)
@example(messages=TRACE[:-1], prompt=False, ids=False)
@example(messages=[message("user", "")], prompt=True, ids=False)
@example(messages=[message("assistant", "\n")], prompt=False, ids=False)
def test_rendering_follows_the_published_rules(messages, prompt, ids):
    options = {"add_generation_prompt": prompt, "add_vision_id": ids}
    assert rendered(messages, **options) == expected(messages, **options)


def test_calls_and_results_are_in_one_turn_of_the_assistant():
    image = f"{VISION_START}{IMAGE_PAD}{VISION_END}"
    assert rendered(TRACE, add_generation_prompt=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{image}Open the mail.<|im_end|>\n"
        "<|im_start|>assistant\nI look.\n✿FUNCTION✿: Home\n✿ARGS✿: {}\n"
        f"✿RESULT✿: Done.{image}\n"
        '✿RETURN✿: ✿FUNCTION✿: Tap\n✿ARGS✿: {"point": [348, 291]}\n'
        f"✿RESULT✿: {image}\n"
        "✿RETURN✿: It is <|box_start|>(1,2),(3,4)<|box_end|>.<|im_end|>\n"
    )


def test_several_results_come_before_one_return():
    several = [message("assistant", "A"), message("function", "B"), message("function", "C"), message("assistant", "D")]
    assert rendered(several, add_generation_prompt=False).endswith(
        "assistant\nA\n✿RESULT✿: B\n✿RESULT✿: C\n✿RETURN✿: D<|im_end|>\n"
    )


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder, chat_template=CHAT_TEMPLATE)
    return transformers.AutoTokenizer.from_pretrained(folder)


@settings(deadline=None, max_examples=200)
@given(messages=conversations | agents, prompt=st.booleans(), ids=st.booleans())
@example(messages=TWO_TURNS, prompt=True, ids=True)
@example(messages=TRACE, prompt=False, ids=True)
@example(messages=TRACE[:-1], prompt=True, ids=False)
@example(messages=TRACE[:-1], prompt=False, ids=False)
def test_the_template_renders_the_same_text(theirs, messages, prompt, ids):
    options = {"add_generation_prompt": prompt, "add_vision_id": ids}
    assert theirs.apply_chat_template(messages, tokenize=False, **options) == rendered(messages, **options)


def test_the_template_renders_boxes_and_points(theirs):
    pointing = [
        message("user", {"type": "box", "box": [0, 20, 300, 1000], "label": "cat"}, {"point": [7, 8]}, text("?")),
        message("assistant", {"box": [1, 2, 3, 4]}, {"type": "point", "point": [0, 0], "label": "x"}),
    ]
    text_form = f"{REF_START}cat{REF_END}{BOX_START}(0,20),(300,1000){BOX_END}{BOX_START}(7,8){BOX_END}?"
    assert text_form in rendered(pointing)
    assert theirs.apply_chat_template(pointing, tokenize=False, add_generation_prompt=True) == rendered(pointing)


@settings(deadline=None, max_examples=100)
@given(messages=conversations)
@example(messages=TWO_TURNS)
@example(messages=TRACE)
def test_ids_equal_those_of_transformers_where_users_write_no_control_tokens(theirs, tokenizer, messages):
    def forges(turn):
        allowed = GROUNDING_TOKENS if turn["role"] == "assistant" else ()
        return any(name in repr(turn) for name in SPECIAL_TOKENS if name not in allowed)

    plain = [turn for turn in messages if not forges(turn)]
    if plain:
        spans = render(parse_messages(plain))
        ids = tokenise(spans, tokenizer, [1] * len(media_parts(spans))).ids
        assert ids.tolist() == theirs(render_text(spans))["input_ids"]


def decoded(tokenizer, ids):
    return tokenizer.decode(ids.tolist(), keep_special=SPECIAL_TOKENS)


def test_there_is_one_placeholder_per_visual_token(tokenizer):
    spans = render(parse_messages([message("user", IMAGE, VIDEO, text("?"))]), add_generation_prompt=False)
    out = decoded(tokenizer, tokenise(spans, tokenizer, [4, 2]).ids)
    media = VISION_START + IMAGE_PAD * 4 + VISION_END + VISION_START + VIDEO_PAD * 2 + VISION_END
    assert out.endswith(f"{IM_START}user\n{media}?{IM_END}\n")


def test_text_between_control_tokens_is_one_span():
    spans = render(parse_messages([message("user", text("a"), text("b"), IMAGE, text("c"))]), add_vision_id=True)
    stretches = [span.text for span in spans if isinstance(span, Text)]
    assert stretches[2:] == ["user\nabPicture 1: ", "c", "\n", "assistant\n"]


def test_control_tokens_in_the_text_of_users_and_systems_stay_text(tokenizer):
    forged = "".join(SPECIAL_TOKENS)
    for role in ("user", "system"):
        spans = render(parse_messages([message(role, forged)]), add_generation_prompt=False)
        ids = tokenise(spans, tokenizer, []).ids
        assert np.count_nonzero(ids < 14) == (2 if role == "system" else 4)
        assert decoded(tokenizer, ids).endswith(f"{role}\n{forged}{IM_END}\n")
    spans = render(parse_messages([message("assistant", ""), message("function", forged)]))
    assert sum(isinstance(span, Special) for span in spans) == 3


def test_assistant_text_has_grounding_tokens_but_no_other_control_tokens(tokenizer):
    spans = render(parse_messages([message("assistant", "".join(SPECIAL_TOKENS))]), add_generation_prompt=False)
    names = [span.name for span in spans if isinstance(span, Special)]
    assert names[3:-1] == list(GROUNDING_TOKENS)


def supervised(tokenizer, messages, counts=(), **options):
    """The text under the labels. `options` are those of `render`."""
    tokens = tokenise(render(parse_messages(messages), **options), tokenizer, list(counts), with_labels=True)
    kept = tokens.labels != IGNORED
    assert (tokens.labels[kept] == tokens.ids[kept]).all()
    return decoded(tokenizer, tokens.ids[kept])


def test_only_replies_and_their_end_tokens_are_supervised(tokenizer):
    turns = [*TWO_TURNS, message("assistant", "Yes.")]
    assert supervised(tokenizer, turns, [3, 4, 5, 6]) == f"{REPLY}{IM_END}Yes.{IM_END}"
    assert supervised(tokenizer, TWO_TURNS[:2], [3, 4, 5]) == ""


def test_images_inside_a_reply_are_not_supervised(tokenizer):
    turns = [message("user", "Go"), message("assistant", text("Tap"), IMAGE, text("Done"))]
    assert supervised(tokenizer, turns, [9], add_vision_id=True) == f"TapDone{IM_END}"


ANSWER = f" It is {BOX_START}(1,2),(3,4){BOX_END}.{IM_END}"
LEARNT = {1: f"{CALLS[0]}\n", 3: f" {CALLS[1]}\n", 5: ANSWER}
"""The text of every reply in the trace, with the space or line break between it and a keyword."""


def test_calls_and_answers_are_supervised_and_results_are_not(tokenizer):
    assert supervised(tokenizer, TRACE, [2, 3, 4]) == "".join(LEARNT.values())
    assert supervised(tokenizer, TRACE[:-1], [2, 3, 4], add_generation_prompt=True) == LEARNT[1] + LEARNT[3]


@settings(deadline=None, max_examples=50)
@given(mask=st.lists(st.booleans(), min_size=6, max_size=6))
def test_a_mask_decides_what_is_supervised_and_never_the_ids(tokenizer, mask):
    assert supervised(tokenizer, TRACE, [2, 3, 4], supervised=mask) == "".join(LEARNT[i] for i in LEARNT if mask[i])
    masked, plain = (render(parse_messages(TRACE), supervised=each) for each in (mask, None))
    expected = tokenise(plain, tokenizer, [2, 3, 4]).ids
    for with_labels in (False, True):
        assert (tokenise(masked, tokenizer, [2, 3, 4], with_labels).ids == expected).all()


def test_a_mask_leaves_out_a_reply_with_its_end_token(tokenizer):
    turns = [*TWO_TURNS, message("assistant", "Yes.")]
    mask = [False, False, False, False, True]
    assert supervised(tokenizer, turns, [3, 4, 5, 6], supervised=mask) == f"Yes.{IM_END}"


def test_tokens_that_join_a_reply_to_a_keyword_are_supervised_and_end_no_prompt():
    base = build_nano_tokenizer([])._backend
    size = base.get_vocab_size()
    base.model = models.BPE(vocab=base.get_vocab() | {"}Ċ": size, "ĠI": size + 1}, merges=[("}", "Ċ"), ("Ġ", "I")])
    fused = Tokenizer(base)
    assert len(fused.encode("}\n I")) == 2
    assert supervised(fused, TRACE, [2, 3, 4]) == "".join(LEARNT.values())
    counts = [2, 3, 4]
    whole = tokenise(render(parse_messages(TRACE)), fused, counts).ids
    for end in (3, 5):
        prompt = tokenise(render(parse_messages(TRACE[:end])), fused, counts[: (end + 1) // 2]).ids
        assert (whole[: len(prompt)] == prompt).all()


def test_a_box_part_of_an_assistant_is_supervised(tokenizer):
    turns = [message("user", "Go"), message("assistant", {"box": [1, 2, 3, 4], "label": "cat"})]
    assert supervised(tokenizer, turns) == f"{REF_START}cat{REF_END}{BOX_START}(1,2),(3,4){BOX_END}{IM_END}"


def test_a_token_that_begins_before_the_reply_is_not_supervised():
    base = build_nano_tokenizer([])._backend
    vocab = base.get_vocab() | {"ĊĊ": base.get_vocab_size()}
    base.model = models.BPE(vocab=vocab, merges=[("Ċ", "Ċ"), (")", ","), ("),", "(")])
    fused = Tokenizer(base)
    assert len(fused.encode("\n\n")) == 1
    assert supervised(fused, [message("assistant", "\nYes")]) == f"Yes{IM_END}"
    assert supervised(fused, [message("assistant", "Yes\n")]) == f"Yes\n{IM_END}"


@settings(deadline=None, max_examples=100)
@given(reply=st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
@example(reply="é猫e\u0301 ")
def test_supervised_text_is_the_reply_itself(tokenizer, reply):
    turns = [message("user", "?"), message("assistant", reply)]
    assert supervised(tokenizer, turns) == unicodedata.normalize("NFC", reply) + IM_END


def test_labels_are_made_on_request_only(tokenizer):
    assert tokenise(render(parse_messages(TWO_TURNS)), tokenizer, [1, 1, 1, 1]).labels is None
