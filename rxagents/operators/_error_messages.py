"""errors_as_messages: what fails says so, in words that the next agent can read."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..mended_blocks import Describe, described, mended
from ._twins import Operator

__all__ = ["errors_as_messages"]


def errors_as_messages(describe: Describe | None = None) -> Operator:
    """Turns what fails into a message that says so: the next agent reads it, and the conversation goes on.

    A message that fails ends with what it has, and the finish reason `error`. Its block, or one that
    fails by itself, ends with one more message, the agent's, whose text describes the error and whose
    metadata holds `{"error": {"type", "message", "where"}}`; the blocks around do not fail. Outside
    blocks the message comes when what failed has ended, and the conversation completes when all messages
    there have. What is interrupted is no error, and nothing else changes.

    ```
    llm   -Well,-#
    out   (bot|)
    bot   m1-----(m2|)
    m1    -Well,-|
    m2    -------(Error:_no|)
    ```

    Args:
        describe: Takes the error, gives the text. By default that is `Error: ` and what the error says,
            without what looks like a key.

    Raises:
        ConfigurationError: `describe` is no function.
    """
    if describe is not None and not callable(describe):
        raise ConfigurationError(
            f"errors_as_messages: describe is a {type(describe).__name__}; give a function of the error"
        )
    return lambda source: mended(source, describe or described)
