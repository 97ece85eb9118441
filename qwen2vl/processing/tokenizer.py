"""Text to ids and back: byte-level BPE with the 14 special tokens of the family [paper 1.5].

`Tokenizer` reads a published tokenizer (`tokenizer.json`, or `vocab.json` + `merges.txt`); `build_nano_tokenizer` builds
nano's small one. Text never becomes a special token here: only `chat_template` adds those.
"""

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.spec import tokens as names
from qwen2vl.spec.tokens import GROUNDING_TOKENS, SPECIAL_TOKENS, TokenIds

SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The published pre-tokenisation: words with the character before them, single digits, runs of punctuation, white space."""

NANO_SIZE = 3072
"""Number of ids of nano's tokenizer."""
ROLE_WORDS = ("system", "user", "assistant")
"""Names of roles, one token each in nano. Merges cannot do that: merging "u" with "s" would also merge them in "mouse"."""

NAME_OF_ID = {
    "bos": names.ENDOFTEXT,
    "eos": names.IM_END,
    "vision_start": names.VISION_START,
    "vision_end": names.VISION_END,
    "vision_pad": names.VISION_PAD,
    "image_pad": names.IMAGE_PAD,
    "video_pad": names.VIDEO_PAD,
}
"""Each field of `TokenIds`, and the special token that it is the id of."""


def byte_alphabet() -> tuple[str, ...]:
    """The printable character of each byte in byte-level vocabularies (space is "Ġ"), by the rule of GPT-2."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    replacements = iter(range(0x100, 0x200))
    return tuple(chr(byte) if byte in plain else chr(next(replacements)) for byte in range(256))


_BYTE_OF_CHARACTER = {ord(character): byte for byte, character in enumerate(byte_alphabet())}


class Tokenizer:
    """A tokenizer of the Qwen2 kind. Picklable, so worker processes can have one."""

    def __init__(self, backend: Backend) -> None:
        """Wrap a tokenizer of the `tokenizers` library. Raises CheckpointError when it is not of this family."""
        backend.no_truncation()
        backend.no_padding()
        # Offsets must include a token's leading space, otherwise the first word of a reply would begin after the reply.
        backend.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
        backend.encode_special_tokens = True  # special names inside text stay text; tokenizer.json cannot store this
        self._backend = backend
        found = {name: backend.token_to_id(name) for name in SPECIAL_TOKENS}
        missing = [name for name, id in found.items() if id is None]
        if missing:
            raise CheckpointError(
                f"the tokenizer lacks the special tokens {', '.join(missing)}: give a checkpoint of the Qwen2-VL family"
            )
        self._specials = {name: id for name, id in found.items() if id is not None}
        self._added = {id: token.content for id, token in backend.get_added_tokens_decoder().items()}
        self._added |= {id: name for name, id in self._specials.items()}
        self._special_ids = frozenset(self._specials.values())
        self.size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        """Highest id + 1; ids from here on are padding of the embedding and are never sampled."""
        self._check_behaviour()

    def _check_behaviour(self) -> None:
        probe = "Ab 12 é\n" + "".join(SPECIAL_TOKENS)
        ids = self.encode(probe)
        if self._special_ids.intersection(ids):
            raise CheckpointError(
                "the tokenizer turns the names of special tokens in plain text into control tokens: "
                'mark all of them as "special" in tokenizer.json'
            )
        if self.decode(ids) != probe:
            raise CheckpointError(
                "the tokenizer does not reproduce the text that it encodes, so it is not byte-level BPE: "
                "give a checkpoint of the Qwen2-VL family"
            )

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read `tokenizer.json`, or `vocab.json` + `merges.txt`, of a checkpoint directory. Raises CheckpointError."""
        folder = Path(directory)
        if (folder / "tokenizer.json").exists():
            path = folder / "tokenizer.json"
            try:
                backend = Backend.from_file(str(path))
            except Exception as error:  # the library raises a plain Exception for every kind of damage
                raise CheckpointError(f'"{path}" is not a readable tokenizer file: copy it again') from error
            return cls(backend)
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            return cls(_backend_from_parts(folder))
        raise CheckpointError(
            f'"{folder}" has neither tokenizer.json nor vocab.json with merges.txt: copy the tokenizer files there'
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The tokenizer of the content of a `tokenizer.json`. Raises CheckpointError when it is not of this family."""
        return cls(Backend.from_str(text))

    def check_ids(self, expected: TokenIds) -> None:
        """Compare with the ids that the model's config names. Raises ConfigError naming the first that differs."""
        for field, name in NAME_OF_ID.items():
            if getattr(expected, field) != self.special(name):
                raise ConfigError(
                    f"config.json says that {name} has id {getattr(expected, field)}, in the tokenizer it has "
                    f"{self.special(name)}: use config and tokenizer of the same checkpoint"
                )

    def token_ids(self) -> TokenIds:
        """The special ids that a model with this tokenizer needs."""
        return TokenIds(**{field: self._specials[name] for field, name in NAME_OF_ID.items()})

    def special(self, name: str) -> int:
        """Id of a special token, by its name."""
        return self._specials[name]

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; names of special tokens in it are treated as ordinary characters."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_text(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of plain text, and the range of characters (begin, end) of `text` of each id.

        Tokens that are parts of one character all have the range of that character.
        """
        encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Iterable[int], keep_special: Collection[str] = GROUNDING_TOKENS) -> str:
        """Text of ids. Special tokens in `keep_special` are written by name, others are left out; bad UTF-8 becomes U+FFFD."""
        return b"".join(self._bytes_of(id, keep_special) for id in ids).decode("utf-8", errors="replace")

    def _bytes_of(self, id: int, keep_special: Collection[str]) -> bytes:
        name = self._added.get(id)
        if name is not None:
            return b"" if id in self._special_ids and name not in keep_special else name.encode()
        token = self._backend.id_to_token(id)
        assert token is not None, f"id {id} is not in the tokenizer of size {self.size}"
        return token.translate(_BYTE_OF_CHARACTER).encode("latin-1")

    def save(self, directory: str | Path, *, model_max_length: int = 32768, chat_template: str | None = None) -> None:
        """Write `tokenizer.json`, `vocab.json`, `merges.txt` and `tokenizer_config.json` in the published layout."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        whole = json.loads(self._backend.to_str())
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in whole["model"]["merges"]]
        _write_json(folder / "tokenizer.json", whole)
        _write_json(folder / "vocab.json", whole["model"]["vocab"], indent=None)
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(m + "\n" for m in merges), encoding="utf-8")
        _write_json(
            folder / "tokenizer_config.json", self._config(whole["added_tokens"], model_max_length, chat_template)
        )

    def _config(self, added: list[dict[str, Any]], model_max_length: int, chat_template: str | None) -> dict[str, Any]:
        fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
        return {
            "add_prefix_space": False,
            "added_tokens_decoder": {str(token["id"]): {field: token[field] for field in fields} for token in added},
            "additional_special_tokens": [n for n in SPECIAL_TOKENS if n not in (names.ENDOFTEXT, names.IM_END)],
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": names.IM_END,
            "errors": "replace",
            "model_max_length": model_max_length,
            "pad_token": names.ENDOFTEXT,
            "padding_side": "left",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        } | ({} if chat_template is None else {"chat_template": chat_template})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that affects the ids of a text: tokenizers with equal digests give equal ids."""
        parts = json.loads(self._backend.to_str())
        decisive = {name: parts[name] for name in ("model", "pre_tokenizer", "normalizer")} | {"added": self._added}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # The library's own pickling loses `encode_special_tokens`, so text could become control tokens in a worker.
        return type(self).from_json, (self._backend.to_str(),)


class StreamDecoder:
    """Decodes ids one by one. The joined pieces equal `decode` of all ids; no piece contains a part of a character."""

    def __init__(self, tokenizer: Tokenizer, keep_special: Collection[str] = GROUNDING_TOKENS) -> None:
        self._tokenizer = tokenizer
        self._keep = keep_special
        self._bytes = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """The text that is complete with this id; empty while a character is unfinished."""
        return self._bytes.decode(self._tokenizer._bytes_of(id, self._keep))

    def finish(self) -> str:
        """The text left at the end: U+FFFD for an unfinished character, else nothing."""
        return self._bytes.decode(b"", final=True)


def build_nano_tokenizer(words: Iterable[str], pieces: Iterable[str] = (), size: int = NANO_SIZE) -> Tokenizer:
    """nano's tokenizer: 14 special tokens (ids 0..13), 256 bytes, three role names, then merges up to `size`.

    `words` may repeat: frequent words come first, equally frequent ones in alphabetical order. A lower-case word ("red"),
    or one that begins with a space (" What"), becomes one token after a space. A capitalised word ("What") becomes one
    token at the start of a text, as in the first word of a sentence. `pieces` become one token wherever they are written,
    such as keywords and characters of other alphabets; they come last.

    Merges are chains, " red" = (Ġ,r) (Ġr,e) (Ġre,d): each left piece begins with the space or the capital. So a word
    without a space before it (a reply, a quotation) is spelled letter by letter, and a model can read words that it has
    never seen, while a word inside a question is one token.
    """
    vocab = {name: id for id, name in enumerate((*SPECIAL_TOKENS, *byte_alphabet(), *ROLE_WORDS))}
    merges: list[tuple[str, str]] = []
    for word in (*_in_order(words), *(_first_piece(piece) for piece in pieces)):
        chain = [(word[:i], word[i]) for i in range(1, len(word)) if word[: i + 1] not in vocab]
        if len(vocab) + len(chain) <= size:  # otherwise a shorter word may still fit
            merges += chain
            vocab |= {left + right: len(vocab) + i for i, (left, right) in enumerate(chain)}
    backend = _assemble(vocab, merges)
    backend.add_special_tokens([_special(name) for name in SPECIAL_TOKENS])
    backend.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in ROLE_WORDS])
    return Tokenizer(backend)


def _in_order(words: Iterable[str]) -> Iterator[str]:
    """Words in the byte alphabet: first the characters between boxes, then words after a space, then capitalised words.

    Words after a space must come first: BPE applies early merges first, and " What" must not begin with "Wh".
    """
    yield "),("
    counts = Counter(word if word[:1].isupper() else f" {word.strip()}" for word in words if word.strip())
    ordered = sorted(counts, key=lambda word: (not word.startswith(" "), -counts[word], word))
    yield from filter(lambda piece: len(piece) > 1, map(_first_piece, ordered))


def _first_piece(text: str) -> str:
    """What a chain of merges can reach of a text, in the byte alphabet: " top" of " top-left"."""
    return str(_pre_tokenizer().pre_tokenize_str(text)[0][0])


def _special(name: str) -> AddedToken:
    return AddedToken(name, special=True, normalized=False)


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    parts = [
        pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ]
    return pre_tokenizers.Sequence(parts)


def _assemble(vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> Backend:
    backend = Backend(models.BPE(vocab=vocab, merges=list(merges), fuse_unk=False, byte_fallback=False))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    return backend


def _backend_from_parts(folder: Path) -> Backend:
    """Tokenizer from `vocab.json` and `merges.txt`; special tokens from the other files, else appended in the published order."""
    try:
        vocab, merges = models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
        backend, added = _assemble(vocab, merges), _read_added(folder)
    except Exception as error:  # see Tokenizer.load
        raise CheckpointError(f'vocab.json or merges.txt in "{folder}" is damaged: copy both again') from error
    for id, token in sorted(added.items()):
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
        if backend.token_to_id(token.content) != id:
            raise CheckpointError(
                f'"{folder}" gives {token.content} the id {id}, but after {len(vocab)} vocabulary entries '
                f"it has the id {backend.token_to_id(token.content)}: use the files of one checkpoint"
            )
    backend.add_special_tokens([_special(n) for n in SPECIAL_TOKENS])  # no effect on existing ones
    return backend


def _read_added(folder: Path) -> dict[int, AddedToken]:
    """Added tokens by id, from `tokenizer_config.json` or the older `added_tokens.json`; empty when neither has them."""
    config, older = folder / "tokenizer_config.json", folder / "added_tokens.json"
    listed = json.loads(config.read_text(encoding="utf-8")).get("added_tokens_decoder") if config.exists() else None
    if listed:
        return {int(id): AddedToken(**fields) for id, fields in listed.items()}
    if older.exists():
        return {id: _special(name) for name, id in json.loads(older.read_text(encoding="utf-8")).items()}
    return {}


def _write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
