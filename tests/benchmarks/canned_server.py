"""A server in a process of its own that answers every POST with the same stream, in one burst.

It does as little as possible, so that what is measured is the client. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys

__all__ = ["answer"]


def answer(chunks: int) -> bytes:
    """A whole HTTP response: a stream of so many tokens, as OpenAI's service sends them."""

    def event(delta: dict[str, object], finish: str | None = None, **extra: object) -> bytes:
        chunk = {
            "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
            "object": "chat.completion.chunk",
            "created": 1754693442,
            "model": "gpt-4o-2024-08-06",
            "service_tier": "default",
            "system_fingerprint": "fp_07871e2ad8",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            "usage": None,
        }
        return b"data: " + json.dumps(chunk | extra, separators=(",", ":")).encode() + b"\n\n"

    usage = {"prompt_tokens": 9, "completion_tokens": chunks, "total_tokens": chunks + 9}
    events = [event({"role": "assistant", "content": "", "refusal": None})]
    events += [event({"content": f" word{number % 97}"}) for number in range(chunks)]
    events += [event({}, "stop"), event({}, choices=[], usage=usage), b"data: [DONE]\n\n"]
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + body


async def main(chunks: int) -> None:
    canned = answer(chunks)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(canned)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # ends with the process that started it, which closes the pipe
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
