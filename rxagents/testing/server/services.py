"""The model that a demo talks to: the service of the environment, or the embedded server."""

from __future__ import annotations

import atexit
import os
import sys

from ...errors import ConfigurationError
from ...llm import LLM, AzureOpenAILLM, OpenAILLM
from ...llm.scripts import ScriptSource
from .openai_server import OpenAIServer
from .scenarios import default_scenario

__all__ = ["demo_llm"]


def demo_llm(script: ScriptSource | None = None, *, model: str | None = None, delay: float = 0.03) -> LLM:
    """A model for demos and examples, over real HTTP in any case; one line on stderr says which.

    With the `AZURE_OPENAI_*` variables set it is that deployment; with `OPENAI_API_KEY` or
    `OPENAI_BASE_URL` set, `OPENAI_MODEL` (by default `gpt-4o-mini`) of that service; with neither,
    the embedded server on the loopback, which lives until the program ends.

    Args:
        script: What the embedded server answers; by default the order-delivery team, and an echo for
            anything else.
        model: The model of the service, by default what the environment names; the embedded server
            has but one.
        delay: Seconds between two tokens of the embedded server.

    Raises:
        ConfigurationError: The environment's settings are not complete; the text names what is missing.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get("OPENAI_API_KEY")
    azure = [name for name, value in os.environ.items() if name.startswith("AZURE_OPENAI_") and value]
    if azure and ("AZURE_OPENAI_ENDPOINT" in azure or not (key or base_url)):
        llm = AzureOpenAILLM({"model": model} if model else {})  # says what is missing, if anything is
        _say(f"Talking to the Azure service at {os.environ['AZURE_OPENAI_ENDPOINT']}.")
        return llm
    if key or base_url:
        model = model or os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
        _say(f"Talking to {model} at {base_url or 'the OpenAI service'}.")
        # a local server asks for no key, but the client does
        return OpenAILLM(model, api_key=key or "none")
    server = OpenAIServer(default_scenario() if script is None else script, delay=delay)
    try:
        server.start()
    except OSError as error:
        raise ConfigurationError(f"the embedded server cannot listen on the loopback: {error}") from error
    # after the last subscription has ended, so that a script may end in `.subscribe(print)`
    atexit.register(server.stop)
    _say(
        "No OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_* is set: "
        f"talking to the embedded server at {server.base_url}."
    )
    return OpenAILLM("embedded", base_url=server.base_url, api_key="embedded")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
