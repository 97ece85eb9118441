"""How segments are gathered into buckets: few calls, no copies where none are needed, little padding."""

from qwen2vl.model.attention import AttentionLayout, Segment
from qwen2vl.model.attention.layout import MAX_PADDING
from tests.model.attention.conftest import CPU, packed, rows


def test_a_video_of_64_frames_is_one_call_without_copies() -> None:
    layout = packed([16] * 64, causal=False)
    assert len(layout.buckets) == 1
    assert layout.order is None
    bucket = layout.buckets[0]
    assert bucket.mask is None
    assert bucket.kept is None
    x = rows(64 * 16, 2, 0)
    assert bucket.queries.take(x).data_ptr() == x.data_ptr()


def test_decoding_steps_are_one_call_and_read_the_pool_in_place() -> None:
    segments = [Segment(query_start=i, queries=1, key_start=i * 10, keys=3 + i) for i in range(4)]
    layout = AttentionLayout.of(segments, causal=True, device=CPU)
    assert len(layout.buckets) == 1
    pool = rows(40, 2, 0)
    assert layout.buckets[0].keys.take(pool).data_ptr() == pool.data_ptr()


def test_padding_in_a_bucket_is_bounded() -> None:
    layout = packed(list(range(1, 200)), causal=False)
    for bucket in layout.buckets:
        padded = bucket.queries.count * bucket.queries.length
        real = padded if bucket.kept is None else len(bucket.kept)
        assert real >= (1 - MAX_PADDING) * padded
    assert len(layout.buckets) < 20
