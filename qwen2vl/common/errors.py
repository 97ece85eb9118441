"""All errors that a user can cause, as one tree.

    Qwen2VLError (ValueError)
    |-- ConfigError        a configuration that contradicts itself or belongs to another model
    |-- CheckpointError    files or tensors of a checkpoint that are missing, extra or misshapen
    |-- MessageError       a conversation that breaks the message form
    |-- RecordError        a training record that cannot be used
    |-- MediaError         an image or video that cannot be read or is refused
    `-- LengthError        a prompt that does not fit the context

A message names the thing, the value, the rule and the fix, in one sentence. Errors of other libraries are translated
where they occur, with fixed wording: their own texts may contain addresses or paths. Our own mistakes are `assert`s.
"""

import re


class Qwen2VLError(ValueError):
    """Root of all errors that a user's input can cause. Long values in the message are shortened."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


LONGEST_VALUE = 200
"""Characters of a value that a message shows whole. A data: URL can have millions."""
_LONG = re.compile(rf"\"[^\"\n]{{{LONGEST_VALUE},}}\"|'[^'\n]{{{LONGEST_VALUE},}}'|\S{{{LONGEST_VALUE},}}")


def shortened(message: str) -> str:
    """A message in which long words and long values in quotes have "..." in place of their middle."""
    return _LONG.sub(lambda found: f"{found[0][:80]}...{found[0][-40:]}", message)


class PeerLostError(RuntimeError):
    """Another process of the same run has ended, so this one must end. The fault and its message are the other's."""


class ConfigError(Qwen2VLError):
    """A configuration that contradicts itself or belongs to another model."""


class CheckpointError(Qwen2VLError):
    """A checkpoint directory whose files or tensors do not fit the model."""


class MessageError(Qwen2VLError):
    """A conversation that is not in the message form."""


class RecordError(Qwen2VLError):
    """A training record with a field that cannot be used."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class MediaError(Qwen2VLError):
    """An image or video that is unreadable, unsupported or over a limit."""


class LengthError(Qwen2VLError):
    """A prompt that is longer than the context."""
