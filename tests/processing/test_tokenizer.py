import json
import pickle
import shutil
import unicodedata
from itertools import product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.processing.tokenizer import NANO_SIZE, StreamDecoder, Tokenizer, build_nano_tokenizer
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.tokens import GROUNDING_TOKENS, IM_END, IM_START, SPECIAL_TOKENS

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
WORDS = ["What", "is", "the", "red", "circle", "mouse", "house", "glass", "user", "you"]
TOKENIZER = build_nano_tokenizer(WORDS)


def pieces(tokenizer, text):
    return [tokenizer.decode([id]) for id in tokenizer.encode(text)]


def test_special_tokens_have_the_first_ids_in_the_published_order(tokenizer):
    assert [tokenizer.special(name) for name in SPECIAL_TOKENS] == list(range(14))
    tokenizer.check_ids(NANO.tokens)


def test_ids_of_another_checkpoint_are_refused(tokenizer):
    with pytest.raises(ConfigError, match="151643"):
        tokenizer.check_ids(Qwen2VLConfig.named("2b").tokens)


def test_words_inside_a_question_are_one_token():
    assert pieces(TOKENIZER, "What is the red circle?") == ["What", " is", " the", " red", " circle", "?"]


@pytest.mark.parametrize("text", ["red", '"red"', "\nred", "mouse", "house", "glass", "Glass", "(red"])
def test_words_without_a_space_before_them_are_one_token_per_letter(text):
    assert pieces(TOKENIZER, text) == list(text)


def test_role_names_are_one_token_and_do_not_affect_other_words():
    assert pieces(TOKENIZER, "assistant\nsystem\nuser\n") == ["assistant", "\n", "system", "\n", "user", "\n"]
    assert pieces(TOKENIZER, "users") == list("users")


def test_every_digit_is_a_token_and_the_characters_between_pairs_are_one():
    assert pieces(TOKENIZER, "(17,2),(30,4)") == ["(", "1", "7", ",", "2", "),(", "3", "0", ",", "4", ")"]


def test_merges_of_words_after_a_space_precede_those_of_capitalised_words():
    both = build_nano_tokenizer(["What", " What", "Whale"])
    assert pieces(both, "What What") == ["What", " What"]


def test_the_vocabulary_never_exceeds_its_size():
    many = build_nano_tokenizer([f"w{a}{b}{c}x" for a, b, c in product("abcdefghijklmno", repeat=3)])
    assert many.size == NANO_SIZE
    assert build_nano_tokenizer(["abc"] * 3 + ["xyz"], size=279).size == 278  # room for one chain of three, plus "),("
    assert pieces(build_nano_tokenizer(["abc"] * 3 + ["xyz"], size=278), " abc xyz")[:2] == [" abc", " "]


def test_building_does_not_depend_on_the_order_of_words():
    forward, backward = (build_nano_tokenizer(WORDS), build_nano_tokenizer(reversed(WORDS)))
    assert forward._backend.to_str() == backward._backend.to_str()


@settings(deadline=None, max_examples=100)
@given(texts)
@example("e\u0301 \u0958 \U0001f469\u200d\U0001f467\r\n\t  12's")
def test_decoded_text_equals_the_normalised_text(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == unicodedata.normalize("NFC", text)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([*SPECIAL_TOKENS, "<|", "im_end", "|>", " ", "a"]), max_size=12).map("".join))
def test_no_text_becomes_a_control_token(text):
    assert min(TOKENIZER.encode(text), default=14) >= 14


@settings(deadline=None, max_examples=100)
@given(texts)
def test_offsets_cover_the_text_in_order(text):
    ids, offsets = TOKENIZER.encode_text(text)
    assert ids == TOKENIZER.encode(text)
    assert all(0 <= begin < end <= len(text) for begin, end in offsets)
    assert [begin for begin, _ in offsets] == sorted(begin for begin, _ in offsets)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, TOKENIZER.size - 1), max_size=40))
def test_streamed_pieces_join_to_the_decoded_text(ids):
    stream = StreamDecoder(TOKENIZER)
    parts = [stream.push(id) for id in ids] + [stream.finish()]
    assert "".join(parts) == TOKENIZER.decode(ids)


def test_a_stream_emits_complete_characters_only():
    stream = StreamDecoder(TOKENIZER)
    parts = [stream.push(id) for id in TOKENIZER.encode("é猫")]
    assert parts == ["", "é", "", "", "猫"]
    assert stream.finish() == ""


def test_an_unfinished_character_becomes_the_replacement_character():
    stream = StreamDecoder(TOKENIZER)
    assert stream.push(TOKENIZER.encode("猫")[0]) == ""
    assert stream.finish() == "\ufffd"


def test_decode_writes_the_special_tokens_in_keep_special_only():
    ids = [TOKENIZER.special(GROUNDING_TOKENS[2]), *TOKENIZER.encode("(1,2)"), TOKENIZER.special(IM_END)]
    assert TOKENIZER.decode(ids) == "<|box_start|>(1,2)"
    assert TOKENIZER.decode(ids, keep_special=()) == "(1,2)"
    assert TOKENIZER.decode(ids, keep_special=SPECIAL_TOKENS) == "<|box_start|>(1,2)<|im_end|>"


def test_worker_processes_get_the_same_tokenizer():
    copy = pickle.loads(pickle.dumps(TOKENIZER))
    assert copy.encode(f"user {IM_START}") == TOKENIZER.encode(f"user {IM_START}")


@pytest.mark.parametrize("parts", ["tokenizer.json", "vocab.json merges.txt tokenizer_config.json"])
def test_saved_tokenizers_load_from_either_form(tmp_path, parts):
    TOKENIZER.save(tmp_path / "all")
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in parts.split():
        shutil.copy(tmp_path / "all" / name, kept)
    again = Tokenizer.load(kept)
    text = "user\nWhat is the red mouse? <|im_end|> é"
    assert again.size == TOKENIZER.size
    assert again.encode(text) == TOKENIZER.encode(text)


def published_form(folder):
    """A tokenizer in the published layout: vocabulary first, special tokens after it."""
    whole = json.loads(TOKENIZER._backend.to_str())
    shift = [token for token in whole["model"]["vocab"] if token not in SPECIAL_TOKENS]
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(shift)}))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in whole["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return len(shift)


def test_special_tokens_are_appended_to_vocabulary_and_merges(tmp_path):
    first = published_form(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert [loaded.special(name) for name in SPECIAL_TOKENS] == list(range(first, first + 14))
    assert loaded.size == first + 14
    assert pieces(loaded, "What is red") == ["What", " is", " red"]


def test_older_added_tokens_file_is_read(tmp_path):
    first = published_form(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({n: first + i for i, n in enumerate(SPECIAL_TOKENS)}))
    assert Tokenizer.load(tmp_path).special(IM_END) == first + 2


def test_added_ids_that_do_not_fit_the_vocabulary_are_refused(tmp_path):
    first = published_form(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({n: first + 5 + i for i, n in enumerate(SPECIAL_TOKENS)}))
    with pytest.raises(CheckpointError, match=str(first + 5)):
        Tokenizer.load(tmp_path)


def test_directory_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="neither tokenizer.json nor vocab.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", '{"model": 1}'])
def test_damaged_file_is_refused(tmp_path, damage):
    (tmp_path / "tokenizer.json").write_text(damage)
    with pytest.raises(CheckpointError, match="copy it again"):
        Tokenizer.load(tmp_path)


def saved_with(folder, change):
    TOKENIZER.save(folder)
    whole = json.loads((folder / "tokenizer.json").read_text())
    change(whole)
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    return folder


def test_missing_special_tokens_are_named(tmp_path):
    def drop(whole):
        whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] != "<|video_pad|>"]
        whole["model"]["vocab"]["unused"] = whole["model"]["vocab"].pop("<|video_pad|>")

    with pytest.raises(CheckpointError, match=r"lacks the special tokens <\|video_pad\|>"):
        Tokenizer.load(saved_with(tmp_path, drop))


def test_special_tokens_that_plain_text_can_produce_are_refused(tmp_path):
    def forge(whole):
        for token in whole["added_tokens"]:
            token["special"] = False

    with pytest.raises(CheckpointError, match="plain text into control tokens"):
        Tokenizer.load(saved_with(tmp_path, forge))


def test_tokenizers_of_another_kind_are_refused(tmp_path):
    def lowercase(whole):
        whole["normalizer"] = {"type": "Lowercase"}

    with pytest.raises(CheckpointError, match="byte-level BPE"):
        Tokenizer.load(saved_with(tmp_path, lowercase))


def test_stored_truncation_has_no_effect(tmp_path):
    def truncate(whole):
        whole["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}

    assert len(Tokenizer.load(saved_with(tmp_path, truncate)).encode("mouse mouse mouse")) > 4


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save(folder, model_max_length=4096)
    return transformers.AutoTokenizer.from_pretrained(folder)


@settings(deadline=None, max_examples=150)
@given(text=texts)
@example(
    text="user\nWhat's in the picture? I'LL say 12,345 red\r\n\r\n  circles.\t\u00a0<x> \u4f60\u597d e\u0301 \u0130"
)
@example(text="   \n \n\n  a")
def test_transformers_gives_the_same_ids(theirs, text):
    assume(not any(name in text for name in SPECIAL_TOKENS))  # theirs makes control tokens of those, ours must not
    assert theirs(text)["input_ids"] == TOKENIZER.encode(text)


@settings(deadline=None, max_examples=150)
@given(ids=st.lists(st.integers(0, TOKENIZER.size - 1), max_size=30))
def test_transformers_decodes_to_the_same_text(theirs, ids):
    assert theirs.decode(ids) == TOKENIZER.decode(ids, keep_special=SPECIAL_TOKENS)
    assert theirs.decode(ids, skip_special_tokens=True) == TOKENIZER.decode(ids, keep_special=())


def test_transformers_reads_the_saved_settings(theirs):
    assert type(theirs).__name__.startswith("Qwen2Tokenizer")
    assert (theirs.eos_token, theirs.pad_token, theirs.bos_token) == ("<|im_end|>", "<|endoftext|>", None)
    assert (theirs.model_max_length, theirs.padding_side) == (4096, "left")
    assert theirs.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(14))
