"""A web app: each turn streams to the browser as server-sent events, and is cancelled when it leaves.

Closing the tab closes the request, which cancels the run, which closes the model's response. What was
said till then stays in the conversation, and the next question goes on from there.

Needs starlette and uvicorn, which the extra `examples` brings: pip install 'rxagents[examples]'

python examples/starlette_app.py 8000
"""

import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from rxagents import Agent, Workflow
from rxagents.testing import demo_llm

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>rxagents</title>
<style>body { font: 1.1rem/1.5 system-ui; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }</style>
<form><input name="say" size="40" autofocus placeholder="Say something"> <button>Send</button></form>
<p id="answer"></p>
<script>
  let turn
  document.forms[0].onsubmit = event => {
    event.preventDefault()
    turn?.close()
    const answer = document.getElementById("answer")
    answer.textContent = ""
    turn = new EventSource("turn?" + new URLSearchParams(new FormData(event.target)))
    turn.addEventListener("delta", event => answer.textContent += JSON.parse(event.data).content ?? "")
    turn.addEventListener("error", event => {
      if (event.data) answer.textContent = JSON.parse(event.data).message
    })
    turn.addEventListener("result", () => turn.close())
  }
</script>
"""

bot = Agent("bot", demo_llm(delay=0.02), system_message="Answer in one sentence.")


class Visitor:
    """One visitor's conversation, and how to cut the turn that streams to the browser now."""

    def __init__(self) -> None:
        self.workflow = Workflow(bot)
        self.cut: Callable[[], Awaitable[None]] | None = None


visitors: defaultdict[str, Visitor] = defaultdict(Visitor)


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def turn(request: Request) -> Response:
    query = request.query_params
    visitor, question = visitors[query.get("visitor", "somebody")], query.get("say", "Hello")

    async def events() -> AsyncIterator[str]:
        if visitor.cut is not None:
            await visitor.cut()  # a new question cuts the answer to the one before
        markers = visitor.workflow.arun_stream(question)
        visitor.cut = markers.aclose
        # the server cancels this generator when the browser has left, and that disposes the run
        async with markers:
            async for mark, content in markers:
                yield f"event: {mark}\ndata: {json.dumps(content)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def said(request: Request) -> Response:
    conversation = visitors[request.query_params.get("visitor", "somebody")].workflow.conversation
    return Response(
        json.dumps([[message.role, message.text, message.finish_reason] for message in conversation]),
        media_type="application/json",
    )


app = Starlette(routes=[Route("/", page), Route("/turn", turn), Route("/said", said)])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000, log_level="info")
