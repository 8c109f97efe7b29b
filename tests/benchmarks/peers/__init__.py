"""The peers: other agent libraries, each with its own agent and its own way to stream an answer.

A module here is imported in a worker, by the Python of the environment in which that library is
installed. vanilla-aiagents is not among them: it is not on the package index.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from .. import venvs
from ..contestants import Entry

__all__ = ["PEERS", "Peer", "entries"]


class Peer(NamedTuple):
    """A library to compare with.

    Args:
        name: As it stands in the table.
        distribution: Its name on the package index.
        version: The one that is installed by `--peers`.
        module: Its contestant, here.
        requirements: What else its environment needs. The `openai` client is the one that rxagents runs
            on, for all of them: what differs is what they do with it.
        extra: The extra of the distribution that has what the contestant uses.
    """

    name: str
    distribution: str
    version: str
    module: str
    requirements: tuple[str, ...] = ()
    extra: str = ""

    @property
    def pinned(self) -> list[str]:
        """All that its environment is made of."""
        own = f"{self.distribution}{self.extra}=={self.version}"
        client = venvs.installed("openai")
        return [own, *self.requirements, f"openai=={client}" if client else "openai"]


PEERS = (
    Peer("MiniAgents", "miniagents", "0.0.35", "mini_agents"),
    Peer("openai-agents", "openai-agents", "0.24.0", "openai_agents"),
    Peer("langgraph", "langgraph", "1.2.22", "lang_graph", ("langchain-openai==1.7.3",)),
    Peer("pydantic-ai", "pydantic-ai-slim", "2.68.0", "pydantic_agents", extra="[openai]"),
)


def entries(*, install: bool) -> list[Entry]:
    """Those that can take part: in an environment of their own, else in the running one.

    Args:
        install: Makes the environments that are missing, and says so. A peer that cannot be installed is
            left out, and why is printed.
    """
    return [entry for peer in PEERS if (entry := _entry(peer, install=install)) is not None]


def _entry(peer: Peer, *, install: bool) -> Entry | None:
    contestant = f"{__name__}.{peer.module}"
    python = venvs.present(peer.name, peer.pinned)
    if python is None and install:
        print(f"installing {' '.join(peer.pinned)} in {venvs.cache() / peer.name}", flush=True)
        try:
            python = venvs.made(peer.name, peer.pinned)
        except RuntimeError as error:
            print(f"{peer.name} is left out, it could not be installed: {error}", flush=True)
    if python is not None:
        return Entry(f"{peer.name} {peer.version}", contestant, python)
    here = venvs.installed(peer.distribution)
    return Entry(f"{peer.name} {here}", contestant, sys.executable) if here else None
