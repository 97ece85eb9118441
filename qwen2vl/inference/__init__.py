"""Answering: from a conversation to a reply, streamed, alone or in a batch.

Read a request in this order: `chat` (what users call), `generate` (the loop), `sampling` (the next token), `replies`
(tokens to text, and when to stop), `answer` (what comes back). `session` keeps keys and values between turns.
"""
