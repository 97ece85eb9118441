"""Records with images and videos on the disk, and a store that is built from them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.media_settings import MediaSettings


def image_file(path: Path, width: int, height: int, seed: int = 0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path.name


def records_in(folder: Path) -> list[dict]:
    """One record of every form: one image, two images, a list of frames, text only, a document, a reply with a loss mask."""
    first, second = image_file(folder / "a.png", 90, 60, 1), image_file(folder / "b.jpg", 64, 120, 2)
    frames = [image_file(folder / f"f{number}.png", 56, 56, number) for number in range(3)]
    image = {"type": "image", "image": first}

    def ask(*parts: dict | str, answer: str = "a red circle", **more: object) -> list[dict]:
        content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        return [{"role": "user", "content": content}, {"role": "assistant", "content": answer, **more}]

    two = [image, {"type": "image", "image": second, "max_pixels": 6 * 784}]
    return [
        {"id": "one", "source": "pairs", "kind": "caption", "messages": ask(image, "What is it?")},
        {"id": "two", "source": "many", "kind": "multi_image", "messages": ask(*two, "Are they the same?", answer="no")},
        {"id": "video", "source": "videos", "kind": "video", "messages": ask({"type": "video", "video": frames}, "Where?")},
        {"id": "text", "source": "text", "kind": "text", "messages": ask("Say cat.", answer="cat")},
        {
            "id": "page",
            "source": "news",
            "kind": "interleaved",
            "document": [{"type": "text", "text": "Read this: "}, image, {"type": "text", "text": " the end"}],
        },
        {
            "id": "trace",
            "source": "talk",
            "kind": "agent",
            "messages": ask(image, "First?", answer="red") + ask("Second?", answer="blue", loss=True),
        },
    ]  # fmt: skip


def write_lines(path: Path, records: list[object]) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return path


@pytest.fixture(scope="session")
def processor() -> Processor:
    return nano_processor()


def build_store(folder: Path, processor: Processor, copies: int) -> Store:
    """A store with this number of copies of every form of record."""
    once = records_in(folder)
    records = [record | {"id": f"{record['id']}-{copy}"} for copy in range(copies) for record in once]
    file = write_lines(folder / "all.jsonl", records)
    build(
        [file],
        BuildSettings(store=folder / "store", tokenizer=processor.tokenizer, media_root=None, media=MediaSettings()),
    )
    return Store(folder / "store")


@pytest.fixture(scope="session")
def built(tmp_path_factory, processor) -> Store:
    return build_store(tmp_path_factory.mktemp("records"), processor, 10)
