"""Operators on conversations, in the manner of `reactivex.operators`: functions that return one.

```
messages     the MessageStreams         responses    the finished Messages
answer       the last Message           transcript   what it comes to, as one Transcript
deltas       the tokens as dicts        text         the tokens as strings
markers      (mark, content) tuples     shared       one run for many readers
map_tokens   token to token             transform    through an async generator
gate         only what passes a check   limit        a budget of tokens, cost, turns or seconds
partials     structured output, as it comes
reading      only what a strategy reads: last_n, top_k_last_n, token_budget, summarize
until        a stop button          errors_as_messages   what fails says so, in words
turns        one conversation over live input
checkpoint   a place for its errors
latest, sampled, coalesced   live views for slow readers
```
"""

from ..gates.rules import Gated
from ._checkpoint import checkpoint
from ._coalesced import coalesced
from ._error_messages import errors_as_messages
from ._gate import gate
from ._limit import limit
from ._live import latest, sampled
from ._markers import markers
from ._marks import Mark, Marker
from ._messages import answer, messages, responses
from ._partials import partials
from ._reading import last_n, reading, summarize, token_budget, top_k_last_n
from ._shared import Shared, shared
from ._text import deltas, text
from ._tokens import map_tokens, transform
from ._transcript import transcript
from ._turns import turns
from ._until import until

__all__ = [
    "Gated",
    "Mark",
    "Marker",
    "Shared",
    "answer",
    "checkpoint",
    "coalesced",
    "deltas",
    "errors_as_messages",
    "gate",
    "last_n",
    "latest",
    "limit",
    "map_tokens",
    "markers",
    "messages",
    "partials",
    "reading",
    "responses",
    "sampled",
    "shared",
    "summarize",
    "text",
    "token_budget",
    "top_k_last_n",
    "transcript",
    "transform",
    "turns",
    "until",
]
