"""gated: a model whose answers are held back until a check has passed them."""

from __future__ import annotations

from typing import Any

from reactivex import Observable

from ..engine.emitters import Emitter
from ..errors import ConfigurationError
from ..gates.checking import Check
from ..gates.keeping import Keeper
from ..gates.rules import BLOCKED, OnFail, Rule, rule
from ..gates.telling import teller
from ..gates.windows import Window
from .requests import LLM, ChatRequest, LLMConstraints

__all__ = ["GatedLLM", "gated"]


def gated(
    llm: LLM,
    check: Check,
    *,
    window: Window = "sentence",
    on_fail: OnFail = "cut",
    replacement: str = BLOCKED,
    retries: int = 2,
    name: str | None = None,
) -> GatedLLM:
    """A model whose answers pass a check first; see `rxagents.operators.gate`, which is for messages.

    The difference: each model call is checked by itself, and `on_fail="retry"` asks the model again
    with the same request, so that tools are not run twice. A call that does not pass is cancelled,
    and none of the tools that it was about to call is run. The agent that asks says, beside its
    message, that the gate tripped.

    ```python
    polite = gated(OpenAILLM("gpt-4o-mini"), lambda text: "damn" not in text, on_fail="retry")
    ```

    Args:
        llm: The model.
        check: Called with a `Gated` text; so are the others as for `gate`.

    Returns:
        A model with the same `constraints`.

    Raises:
        ConfigurationError: An argument is of no use.
    """
    if not callable(llm):
        raise ConfigurationError(
            f"gated: llm is a {type(llm).__name__}; give a model, such as OpenAILLM(...)"
        )
    return GatedLLM(llm, rule("gated", check, window, on_fail, replacement, retries, name))


class GatedLLM:
    """A model behind a gate; `gated` makes it.

    Attributes:
        llm: The model.
        constraints: What the model cannot do.
    """

    def __init__(self, llm: LLM, rule: Rule) -> None:
        self.llm = llm
        self.constraints: LLMConstraints = getattr(llm, "constraints", LLMConstraints())
        self._rule = rule

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        tell = teller()

        def again() -> Observable[Any]:
            answer = self.llm(request)
            if not isinstance(answer, Observable):
                raise ConfigurationError(
                    f"gated: {self.llm!r} gave {type(answer).__name__} and no observable"
                )
            return answer

        return Emitter(
            lambda sink: Keeper(sink, again(), self._rule, request.agent, tell, again, voids_calls=True)
        )

    def __repr__(self) -> str:
        return f"gated({self.llm!r})"
