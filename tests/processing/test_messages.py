import pytest

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.messages import BoxPart, ImagePart, Message, PointPart, TextPart, VideoPart, parse_messages
from qwen2vl.spec.media_settings import MediaOptions


def parse_part(part):
    return parse_messages([{"role": "user", "content": [part]}])[0].parts[0]


def test_text_content_is_one_part():
    assert parse_messages([{"role": "user", "content": "Hi"}]) == (Message(role="user", parts=(TextPart(text="Hi"),)),)


@pytest.mark.parametrize(
    "part, parsed",
    [
        ({"type": "text", "text": ""}, TextPart(text="")),
        ({"text": "a <|im_end|>"}, TextPart(text="a <|im_end|>")),
        ({"type": "image", "image": "a.png"}, ImagePart(source="a.png")),
        ({"image": b"png", "min_pixels": 784}, ImagePart(source=b"png", options=MediaOptions(min_pixels=784))),
        ({"type": "image_url", "image_url": {"url": "data:x", "detail": "auto"}}, ImagePart(source="data:x")),
        ({"type": "image_url", "image_url": "file:///a"}, ImagePart(source="file:///a")),
        (
            {"type": "video", "video": ["a", "b"], "fps": 1.5},
            VideoPart(source=["a", "b"], options=MediaOptions(fps=1.5)),
        ),
        ({"video_url": {"url": "a.mp4"}, "nframes": 8}, VideoPart(source="a.mp4", options=MediaOptions(nframes=8))),
        ({"type": "box", "box": [0, 1, 2, 1000], "label": "cat"}, BoxPart(box=(0, 1, 2, 1000), label="cat")),
        ({"type": "point", "point": (5, 6)}, PointPart(point=(5, 6))),
    ],
)
def test_every_kind_of_part_is_parsed(part, parsed):
    assert parse_part(part) == parsed


@pytest.mark.parametrize("after", [[], ["function"], ["assistant"], ["function", "assistant", "function"]])
def test_results_may_follow_calls(after):
    roles = ["user", "assistant", "function", *after]
    parsed = parse_messages([{"role": role, "content": [{"type": "image", "image": "a.png"}]} for role in roles])
    assert [message.role for message in parsed] == roles
    assert parsed[2].parts == (ImagePart(source="a.png"),)


def test_every_option_of_a_video_is_parsed():
    options = {"nframes": 4, "min_frames": 2, "max_frames": 8, "video_start": 1, "video_end": 2.5, "min_pixels": 784,
               "max_pixels": 7840, "total_pixels": 78400, "max_tokens": 99, "resized_height": 56, "resized_width": 84}  # fmt: skip
    assert parse_part({"type": "video", "video": "a", **options}).options == MediaOptions(**options)


@pytest.mark.parametrize(
    "messages, says",
    [
        ("Hi", "a conversation is a list of messages, not a str"),
        ({"role": "user"}, "not a dict"),
        (None, "not a NoneType"),
        ([], "the conversation is empty"),
        (["Hi"], "message 0 is a str"),
        ([{"role": "user", "content": "a"}, {"role": "user"}], 'message 1 has no "content"'),
        ([{"content": "a"}], 'message 0 has no "role"'),
        ([{"role": "agent", "content": "a"}], "message 0 has the role 'agent': the roles are system, user, assistant"),
        ([{"role": ["user"], "content": "a"}], "the roles are system, user, assistant"),
        (
            [{"role": "user", "content": "a", "name": "x"}],
            "message 0 has the unknown key name: valid here are content, role",
        ),
        ([{"role": "user", "content": None}], "content of type NoneType"),
        ([{"role": "user", "content": {"text": "a"}}], "content of type dict"),
        ([{"role": "user", "content": b"a"}], "content of type bytes"),
        ([{"role": "user", "content": "\ud800"}], "surrogate"),
        ([{"role": "function", "content": "a"}], 'message 0 is of the role "function" but does not follow a call'),
        (
            [{"role": "user", "content": "a"}, {"role": "function", "content": "b"}],
            'message 1 is of the role "function" but does not follow a call',
        ),
        (
            [
                {"role": "assistant", "content": "a"},
                {"role": "function", "content": "b"},
                {"role": "function", "content": "c"},
                {"role": "user", "content": "d"},
            ],
            'message 3 is of the role "user" but follows a "function"',
        ),
    ],
)
def test_malformed_conversations_are_refused(messages, says):
    with pytest.raises(MessageError) as error:
        parse_messages(messages)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "part, says",
    [
        ("text", "message 0, part 0 is a str"),
        ({"type": "audio", "audio": "a"}, "has the type 'audio': the types are text, image, image_url, video"),
        ({"type": ["text"], "text": "a"}, "the types are text"),
        ({}, "has no type"),
        ({"image": "a", "video": "b"}, "has both image and video"),
        ({"type": "text", "text": 3}, 'a "text" of type int'),
        ({"type": "image"}, 'of type "image" but has no "image"'),
        ({"type": "image", "image": None}, 'of type "image" but has no "image"'),
        ({"type": "image", "image": "a", "fps": 2}, "unknown key fps"),
        ({"type": "image", "image": "a", "max_pixels": "many"}, "part 0: max_pixels is 'many'"),
        ({"type": "image", "image": "a", "resized_height": 56}, "resized_width"),
        ({"type": "video", "video": "a", "fps": 2, "nframes": 4}, "exclude each other"),
        ({"type": "image_url", "image_url": {"url": "a", "detail": "low"}}, "detail 'low'"),
        ({"type": "image_url", "image_url": {"link": "a"}}, "unknown key link"),
        ({"type": "image_url", "image_url": {}}, 'no "url"'),
        ({"type": "video_url", "video_url": 3}, 'no "url"'),
        ({"type": "box", "box": [1, 2, 3]}, "4 whole numbers from 0 to 1000"),
        ({"type": "box", "box": [1, 2, 3, 1001]}, "4 whole numbers"),
        ({"type": "box", "box": [1, 2, 3, 4.0]}, "4 whole numbers"),
        ({"type": "box", "box": [1, 2, 3, True]}, "4 whole numbers"),
        ({"type": "box", "box": "1234"}, "4 whole numbers"),
        ({"type": "box", "box": [9, 2, 3, 4]}, "left, top, right, bottom"),
        ({"type": "point", "point": 3}, "2 whole numbers"),
        ({"type": "point", "point": [1, 2], "label": 7}, 'a "label" of type int'),
    ],
)
def test_malformed_parts_are_refused(part, says):
    with pytest.raises(MessageError) as error:
        parse_part(part)
    assert says in str(error.value)
    assert str(error.value).startswith("message 0, part 0")
