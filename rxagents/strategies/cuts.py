"""Reading strategies that cut: the last n, the first k and the last n, what fits a budget, and pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..checks import check_number
from ..errors import ConfigurationError, InputError
from ..transcripts import Transcript
from ..values import Message, Usage
from .readings import Reading, ReadingStrategy, check_strategy, read_unlocated
from .selections import Selection, tail

__all__ = [
    "LastNMessagesStrategy",
    "PipelineConversationReadingStrategy",
    "TokenBudgetStrategy",
    "TopKLastNMessagesStrategy",
    "estimated_tokens",
]

# Of an image of 1024 by 1024 pixels in high detail: OpenAI's guide to images and vision, gpt-4o.
_PART_TOKENS = 765
_BYTES_PER_TOKEN = 4
_MESSAGE_TOKENS = 4

# Messages that are looked at at first, from the last one back.
_LOOKED_AT = 64


class LastNMessagesStrategy:
    """Reads the last messages.

    The conversation's own instructions (system messages without a name) stay in front and do not
    count. Where the cut would tear the results of tools from the message that called them, it moves
    back, so that all of them are read; a result without its call is not.

    Args:
        n: How many.
    """

    def __init__(self, n: int) -> None:
        self.n = check_number("LastNMessagesStrategy", "n", n, 1)

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        selection = Selection(tail(transcript, self.n))
        return selection.of(selection.said[-self.n :])

    def __repr__(self) -> str:
        return f"LastNMessagesStrategy({self.n})"


class TopKLastNMessagesStrategy:
    """Reads the first messages and the last; none of them twice, where they overlap.

    What counts and what is kept together is as with LastNMessagesStrategy.

    Args:
        k: How many of the first.
        n: How many of the last.
    """

    def __init__(self, k: int, n: int) -> None:
        self.k = check_number("TopKLastNMessagesStrategy", "k", k, 0)
        self.n = check_number("TopKLastNMessagesStrategy", "n", n, 1)

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        selection = Selection(transcript)
        return selection.of((*selection.said[: self.k], *selection.said[-self.n :]))

    def __repr__(self) -> str:
        return f"TopKLastNMessagesStrategy({self.k}, {self.n})"


def estimated_tokens(message: Message) -> int:
    """How many tokens a message takes, by a rough estimate; no tokenizer is asked.

    One for each four bytes of text in UTF-8 (four letters of English), of the tool calls and results
    that led to it as well, 765 for each part that is no text, 4 for the message. Real counts depend
    on the model; for code, or languages far from English, they may well be half as much again.
    """
    parts = message.content if isinstance(message.content, list) else []
    other = sum(1 for part in parts if part.get("type") != "text")
    words = [message.text, message.refusal or "", message.name or ""]
    words += [text for call in message.tool_calls for text in call.function.values()]
    size = sum(len(text.encode(errors="surrogatepass")) for text in words)
    # what is said between the calls stands in the content as well as in the steps
    said = sum(len(step.text.encode(errors="surrogatepass")) for step in message.steps if step.role != "tool")
    steps = sum(map(estimated_tokens, message.steps)) - said // _BYTES_PER_TOKEN
    return _MESSAGE_TOKENS + -(-size // _BYTES_PER_TOKEN) + other * _PART_TOKENS + max(steps, 0)


class TokenBudgetStrategy:
    """Reads the newest messages that fit a budget; the last one always, with what belongs to it.

    What counts and what is kept together is as with LastNMessagesStrategy; a call and its results
    are read together, or not at all.

    Args:
        max_tokens: The budget, for all messages but the instructions.
        count: Gives the tokens of a Message. By default `estimated_tokens`, which is a rough
            estimate; give a tokenizer's count where the budget is a hard limit.
    """

    def __init__(self, max_tokens: int, count: Callable[[Message], int] = estimated_tokens) -> None:
        self.max_tokens = check_number("TokenBudgetStrategy", "max_tokens", max_tokens, 1)
        if not callable(count):
            raise ConfigurationError(
                f"TokenBudgetStrategy: count is a {type(count).__name__}; give a function of a Message"
            )
        self.count = count

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        looked_at = _LOOKED_AT
        while True:  # further back only if all that was looked at fits
            selection = Selection(tail(transcript, looked_at))
            taken, fits = self._taken(selection)
            if not fits or looked_at >= len(transcript):
                return selection.of(taken)
            looked_at *= 4

    def _taken(self, selection: Selection) -> tuple[set[int], bool]:
        """The positions that fit, and whether these are all."""
        taken: set[int] = set()
        spent = 0
        for at in reversed(selection.said):
            if at in taken:
                continue
            more = [other for other in selection.whole(at) if other not in taken]
            spent += sum(self._tokens(selection.message(other)) for other in more)
            if taken and spent > self.max_tokens:
                return taken, False
            taken.update(more)
        return taken, True

    def _tokens(self, message: Message) -> int:
        tokens = self.count(message)
        if not isinstance(tokens, int) or tokens < 0:
            raise InputError(
                f"TokenBudgetStrategy: count gave {tokens!r}; it must give the tokens of a message"
            )
        return tokens

    def __repr__(self) -> str:
        return f"TokenBudgetStrategy({self.max_tokens})"


class PipelineConversationReadingStrategy:
    """Reads through several strategies, one after the other; each chooses from what the last one left.

    The usage of all of them counts.

    Args:
        strategies: Reading strategies of any form.
    """

    def __init__(self, strategies: Iterable[ReadingStrategy]) -> None:
        if not isinstance(strategies, Iterable):
            raise ConfigurationError(
                "PipelineConversationReadingStrategy: strategies is a "
                f"{type(strategies).__name__}; give a list of reading strategies"
            )
        self.strategies = [
            check_strategy(f"PipelineConversationReadingStrategy, number {number}", strategy)
            for number, strategy in enumerate(strategies, 1)
        ]

    async def __call__(self, transcript: Transcript) -> Reading:
        messages, usage = transcript.messages, Usage()
        for strategy in self.strategies:
            reading = await read_unlocated(strategy, transcript)
            messages, usage = reading.messages, usage + reading.usage
            transcript = transcript.reduced_to(messages)
        return Reading(messages, usage)

    def __repr__(self) -> str:
        return f"PipelineConversationReadingStrategy({self.strategies})"
