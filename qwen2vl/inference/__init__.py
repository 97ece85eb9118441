"""Answering: from a conversation to a reply, streamed or whole, alone or in a batch.

A request goes through `chat` (what users call), `generate` (the loop), `sampling` (the next token) and `answer` (tokens
to text, when to end, the result). `session` keeps keys and values between turns.
"""

from qwen2vl.inference.answer import Answer, Usage
from qwen2vl.inference.chat import Chat, Stream
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.inference.session import Session

__all__ = ["Answer", "Chat", "SamplingParams", "Session", "Stream", "Usage"]
