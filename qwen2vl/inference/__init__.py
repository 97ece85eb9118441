"""Answering: from a conversation to a reply, streamed, alone or in a batch.

Read a request in this order: `chat` (what users call), `generate` (the loop), `sampling` (the next token), `replies`
(tokens to text, and when to stop), `answer` (what comes back). `session` keeps keys and values between turns.
"""

from qwen2vl.inference.answer import Answer, Usage
from qwen2vl.inference.chat import Chat, Stream
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.inference.session import Session

__all__ = ["Answer", "Chat", "SamplingParams", "Session", "Stream", "Usage"]
