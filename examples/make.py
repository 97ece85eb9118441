"""Draw the example files from the held-out split of the drawn world: `python -m examples.make`.

The seeds in `EXAMPLES` were chosen among those that the shipped nano answers correctly (`examples.pick`; the README says
how many it answers correctly). The questions are written to `questions.json`, which the demo reads. Needs the fonts
(scripts/install-fonts.sh); the demo does not, because the files are stored.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from drawn_world import draw

FOLDER = Path(__file__).resolve().parent
FRAMES_PER_SECOND = 10
SECONDS_PER_FRAME = 0.5
"""Each drawn frame is shown for half a second, which is the interval at which videos are sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question of the demo and its files."""

    task: str
    seed: int
    files: tuple[str, ...]
    draw_to: str | None = None
    """File in which the demo saves the image with the places of the answer."""


EXAMPLES = (
    Example(task="page", seed=244, files=("page.png",)),
    Example(task="screen", seed=290, files=("screen.png",), draw_to="screen-answer.png"),
    Example(task="ground", seed=215, files=("scene.png",), draw_to="scene-answer.png"),
    Example(task="compare", seed=228, files=("pair-1.png", "pair-2.png")),
    Example(task="motion", seed=202, files=("video.mp4",)),
    Example(task="glyph_ground", seed=211, files=("emoji.png",), draw_to="emoji-answer.png"),
    Example(task="receipt", seed=212, files=("receipt.png",)),
    Example(task="chart_trend", seed=203, files=("chart.png",)),
    Example(task="late", seed=201, files=("long.mp4",)),
)


def write_video(frames: list[Image.Image], path: Path) -> None:
    """An H.264 video of the drawn frames, nearly lossless because the shapes are small."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        for frame in frames:
            for _ in range(round(SECONDS_PER_FRAME * FRAMES_PER_SECOND)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    questions = []
    for example in EXAMPLES:
        item = draw(example.task, example.seed, "test")
        media = item.messages[0]["content"][:-1]
        for part, name in zip(media, example.files, strict=True):
            if part["type"] == "video":
                write_video(part["video"], FOLDER / name)
            else:
                part["image"].save(FOLDER / name)
        question = item.messages[0]["content"][-1]["text"]
        questions.append(
            {"question": question, "files": example.files, "right": item.answer, "draw_to": example.draw_to}
        )
        print(f"{', '.join(example.files)}: {question} -> {item.answer}")
    (FOLDER / "questions.json").write_text(json.dumps(questions, indent=2) + "\n")


if __name__ == "__main__":
    main()
