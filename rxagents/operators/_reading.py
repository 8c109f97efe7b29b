"""reading: a conversation as a strategy reads it; and the common strategies by short names."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from ..engine.bridges import from_async
from ..llm.requests import LLM
from ..participants import Emit, hear
from ..state_updates import StateUpdate
from ..strategies.cuts import (
    LastNMessagesStrategy,
    TokenBudgetStrategy,
    TopKLastNMessagesStrategy,
    estimated_tokens,
)
from ..strategies.readings import ReadingStrategy, check_strategy, read
from ..strategies.summaries import SUMMARY_PROMPT, SummarizeMessagesStrategy
from ..transcripts import Item
from ..values import Message

__all__ = ["last_n", "reading", "summarize", "token_budget", "top_k_last_n"]

Operator = Callable[[Observable[Item]], Observable[Item]]


def reading(strategy: ReadingStrategy) -> Operator:
    """Reads a conversation by a strategy, so that what comes behind hears only what was read.

    When its source completes it emits one Transcript that holds the messages read, the variables
    and the log. StateUpdates from upstream pass; the usage of the messages it consumed, and what the
    reading took, goes on as StateUpdates, so that a pipe loses no cost. Fails with the source, or
    with what the strategy raises. Where the run was stopped nothing is read.

    It stands before whoever is to read. Behind an agent it leaves nothing that is said (a Transcript is
    what was said before), so that `answer()` and `await agent.pipe(reading(…)).ask(…)` find no answer.

    ```
    items   --(bot|)
    bot     --m---|
    m       --Hi--|
    read    ------(t|)
    ```

    Args:
        strategy: A reading strategy of any form: see `rxagents.ReadingStrategy`.

    Raises:
        ConfigurationError: At once, where it is none.
    """
    checked = check_strategy("reading", strategy)

    def operator(source: Observable[Item]) -> Observable[Item]:
        async def run(emit: Emit) -> None:
            passed: list[Item] = []

            def pass_on(item: Item) -> None:
                passed.append(item)
                emit(item)

            heard = await hear(source, pass_on)
            if heard.run_stopped:
                return
            read_now = await read(checked, heard.transcript)
            if read_now.usage:
                pass_on(StateUpdate("usage", usage=read_now.usage))
            # with what was passed on folded in by its ids, it does not count again where both are heard
            emit(heard.transcript.reduced_to(read_now.messages).fold_all(passed))

        return from_async(run)

    return operator


def last_n(n: int) -> Operator:
    """Reads the last n messages: `reading` with a LastNMessagesStrategy. Here two.

    ```
    items   -a-b-c-|
    read    -------(bc|)
    ```

    Args:
        n: How many, besides the conversation's own instructions.
    """
    return reading(LastNMessagesStrategy(n))


def top_k_last_n(k: int, n: int) -> Operator:
    """Reads the first k and the last n messages: `reading` with a TopKLastNMessagesStrategy.

    Here one of each.

    ```
    items   -a-b-c-|
    read    -------(ac|)
    ```

    Args:
        k: How many of the first, besides the conversation's own instructions.
        n: How many of the last.
    """
    return reading(TopKLastNMessagesStrategy(k, n))


def token_budget(max_tokens: int, count: Callable[[Message], int] = estimated_tokens) -> Operator:
    """Reads the newest messages that fit a budget: `reading` with a TokenBudgetStrategy.

    Here two tokens, where each message takes one.

    ```
    items   -a-b-c-|
    read    -------(bc|)
    ```

    Args:
        max_tokens: The budget.
        count: Gives the tokens of a Message; by default a rough estimate.
    """
    return reading(TokenBudgetStrategy(max_tokens, count))


def summarize(llm: LLM, system_prompt: str = SUMMARY_PROMPT, *, keep_last: int = 0) -> Operator:
    """Reads a summary that a model writes: `reading` with a SummarizeMessagesStrategy.

    Emits its Transcript when the model has answered: the summary, and what was asked last.

    ```
    items   -a-b-|
    llm          s-|
    read    -------(sb|)
    ```

    Args:
        llm: The model.
        system_prompt: What it is told to do.
        keep_last: How many of the last messages stay as they are, beside the summary.
    """
    return reading(SummarizeMessagesStrategy(llm, system_prompt, keep_last=keep_last))
