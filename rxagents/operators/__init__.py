"""Operators on conversations, in the manner of `reactivex.operators`: functions that return one.

```
messages     the MessageStreams         responses    the finished Messages
answer       the last Message           transcript   what it comes to, as one Transcript
deltas       the tokens as dicts        text         the tokens as strings
markers      (mark, content) tuples     shared       one run for many readers
map_tokens   token to token             transform    through an async generator
until        a stop button
```
"""

from ._markers import Mark, Marker, markers
from ._messages import answer, messages, responses
from ._shared import Shared, shared
from ._text import deltas, text
from ._tokens import map_tokens, transform
from ._transcript import transcript
from ._until import until

__all__ = [
    "Mark",
    "Marker",
    "Shared",
    "answer",
    "deltas",
    "map_tokens",
    "markers",
    "messages",
    "responses",
    "shared",
    "text",
    "transcript",
    "transform",
    "until",
]
