"""What carries the requests: over aiohttp and over httpx2 the same happens, and the same is said of it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from rxagents import AzureOpenAILLM, OpenAILLM
from rxagents.errors import ConfigurationError, ModelConnectionError, ModelError, ModelTimeoutError
from rxagents.llm import ChatRequest, certificates, transports
from rxagents.llm.transports import Transport, new_http_client
from rxagents.testing import OpenAIServer

from . import test_recorded_streams as recorded_streams
from .listening import heard

aiohttp = pytest.importorskip("aiohttp")

BOTH: tuple[Transport, ...] = ("aiohttp", "httpx")
both = pytest.mark.parametrize("transport", BOTH)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
END = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)  # fmt: skip
BODY = HELLO + END
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY

# of localhost, valid until 2126
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUG267l11/UjIuLFx3jBXzQbmmtzEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE3MjU0OFoYDzIxMjYxMDI4
MTcyNTQ4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATsHhOGhHYcGQdtllet4kR8rq/bYxEK9/r/QpVq4XpuSzWw9e0aiN/9
GnX1d7MPoakyKxrxAXo0YyfSdMH6mlPho28wbTAdBgNVHQ4EFgQUF8gGiPw+9KsL
LhZtBskO7cRxQV4wHwYDVR0jBBgwFoAUF8gGiPw+9KsLLhZtBskO7cRxQV4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgcXf6+r/S1CdubQT1r8KPMwaLCjbF/0vmhGpt5BnNWakCIDSJ
rUfDVe67udnwt0YbM/mCTuB6ahebzlVOhUvRGu5N
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcfjIycCiqdxduo02
zBYH3Cm0C0WM951AljSap5Xsh8GhRANCAATsHhOGhHYcGQdtllet4kR8rq/bYxEK
9/r/QpVq4XpuSzWw9e0aiN/9GnX1d7MPoakyKxrxAXo0YyfSdMH6mlPh
-----END PRIVATE KEY-----
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("OPENAI_", "AZURE_", "SSL_CERT")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Peer:
    """A service that is asked over sockets, and does to each what a test says."""

    def __init__(self, act: Callable[[Peer, socket.socket], None], host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.act = act
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.closed = threading.Event()
        self.listening = socket.create_server((host, 0), family=family)
        self.port = self.listening.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._take, args=[connection], daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        try:
            with connection:
                self.act(self, connection)
        except OSError:
            pass
        finally:
            self.closed.set()

    def request(self, connection: socket.socket) -> bool:
        """Reads one whole request; whether there was one."""
        read = b""
        while b"\r\n\r\n" not in read:
            if not (more := connection.recv(65536)):
                return False
            read += more
        head, _, body = read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += connection.recv(65536)
        self.heads.append(head)
        self.bodies.append(body)
        return True


@contextmanager
def peer(act: Callable[[Peer, socket.socket], None], host: str = "127.0.0.1") -> Iterator[Peer]:
    made = Peer(act, host)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.listening.shutdown(socket.SHUT_RDWR)
        made.listening.close()
        thread.join(5)


def saying(answer: bytes) -> Callable[[Peer, socket.socket], None]:
    """Answers each request with the same bytes; then it waits for another one."""

    def act(self: Peer, connection: socket.socket) -> None:
        while self.request(connection):
            connection.sendall(answer)

    return act


def once(answer: bytes) -> Callable[[Peer, socket.socket], None]:
    """Answers one request on each connection, and hangs up."""

    def act(self: Peer, connection: socket.socket) -> None:
        self.request(connection)
        connection.sendall(answer)

    return act


def model(url: str, **settings: Any) -> OpenAILLM:
    return OpenAILLM("m", **{"base_url": url, "api_key": "k", "max_retries": 0, **settings})


def ask(llm: Any, content: str = "hi") -> list[Any]:
    return heard(llm(ChatRequest(({"role": "user", "content": content},))))


def said(items: list[Any]) -> str:
    assert not isinstance(items[-1], Exception), items[-1]
    return "".join(each["content"] or "" for each in items if isinstance(each, dict))


def clients_of(llm: OpenAILLM) -> Any:
    return llm._clients


def kind_of(llm: Any) -> str:
    """What carries its requests."""

    async def main() -> str:
        client = await clients_of(llm).current()
        await llm.aclose()
        return type(client._client).__name__

    return asyncio.run(main())


AIOHTTP, HTTPX = "AiohttpClient", transports._CLIENTS["httpx"].__name__
AZURE = {"azure_endpoint": "http://x", "azure_deployment": "d", "api_version": "v", "api_key": "k"}


@pytest.mark.parametrize(
    ("llm", "kind"),
    [
        (lambda: OpenAILLM("m", api_key="k"), AIOHTTP),
        (lambda: OpenAILLM("m", api_key="k", transport="httpx"), HTTPX),
        (lambda: OpenAILLM("m", api_key="k", transport="aiohttp"), AIOHTTP),
        (lambda: OpenAILLM({"model": "m", "api_key": "k", "transport": "httpx"}), HTTPX),
        (lambda: OpenAILLM({"model": "m", "transport": "httpx"}, api_key="k", transport="aiohttp"), AIOHTTP),
        (lambda: AzureOpenAILLM(AZURE), AIOHTTP),
        (lambda: AzureOpenAILLM(AZURE, transport="httpx"), HTTPX),
        (lambda: AzureOpenAILLM({**AZURE, "transport": "httpx"}), HTTPX),
    ],
)  # fmt: skip
def test_the_fast_one_is_used_where_it_is_installed_and_one_word_chooses(
    llm: Callable[[], Any], kind: str
) -> None:
    assert kind_of(llm()) == kind


def test_a_transport_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^`transport` is 'aiohttp' or 'httpx', not 'curl'$"):
        OpenAILLM("m", transport="curl")  # type: ignore[arg-type]
    client = AsyncOpenAI(api_key="k")
    text = "^give `client` or `transport`, not both: a client has its own$"
    with pytest.raises(ConfigurationError, match=text):
        OpenAILLM("m", client=client, transport="httpx")
    with pytest.raises(ConfigurationError, match=text):
        AzureOpenAILLM({"azure_deployment": "d", "client": client, "transport": "aiohttp"})


def fresh(code: str, *options: str, **environment: str) -> tuple[str, str]:
    """What the code prints in an interpreter of its own."""
    ran = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=Path(__file__).parent.parent,
        env=os.environ | environment,
    )
    return ran.stdout.strip(), ran.stderr


def test_where_it_is_not_installed_it_is_not_used_and_the_extra_is_named() -> None:
    out, errors = fresh(
        """
        import sys
        sys.modules["aiohttp"] = None
        import asyncio
        from rxagents import OpenAILLM
        from rxagents.errors import ConfigurationError

        async def main():
            llm = OpenAILLM("m", api_key="k")
            print(type((await llm._clients.current())._client).__name__)

        asyncio.run(main())
        try:
            OpenAILLM("m", transport="aiohttp")
        except ConfigurationError as error:
            print(error)
        """
    )
    assert errors == ""
    assert out.splitlines() == [
        HTTPX,
        "`transport` is 'aiohttp', and there is no aiohttp from 3.10 on: pip install rxagents[fast]",
    ]


def reset(self: Peer, connection: socket.socket) -> None:
    self.request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def silent(self: Peer, connection: socket.socket) -> None:
    self.request(connection)
    connection.recv(1)


def begun(self: Peer, connection: socket.socket) -> None:
    self.request(connection)
    connection.sendall(HEAD + b"content-length: 9999\r\n\r\n" + HELLO)
    connection.recv(1)


def deaf(self: Peer, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    time.sleep(2)


ENDS: dict[str, tuple[Any, type[ModelError], str]] = {
    "reset": (reset, ModelConnectionError, "lost the connection to {host} before it answered"),
    "hung up": (once(b""), ModelConnectionError,
                "lost the connection to {host} before it answered (RemoteProtocolError); ask again"),
    "no HTTP": (once(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ModelConnectionError,
                "lost the connection to {host} before it answered (RemoteProtocolError); ask again"),
    "cut": (once(HEAD + b"content-length: 999\r\n\r\n" + HELLO), ModelConnectionError,
            "lost the connection to {host} before the answer was whole, after 61 bytes of it "
            "(RemoteProtocolError); ask again"),
    "cut in a chunk": (once(HEAD + b"transfer-encoding: chunked\r\n\r\n3d\r\n" + HELLO + b"\r\n9\r\nda"),
                       ModelConnectionError, "lost the connection to {host} before the answer was whole"),
    "silent": (silent, ModelTimeoutError,
               "nothing came from {host} for 0.3 s before it began to answer; ask again, or raise `timeout`"),
    "silent later": (begun, ModelTimeoutError, "nothing came from {host} for 0.3 s before the answer was "
                     "whole, after 61 bytes of it; ask again, or raise `timeout`"),
    "no body": (once(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"), ModelError,
                "{host} answered with status 502; check `base_url` (or OPENAI_BASE_URL)"),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDS)
@both
def test_whatever_ends_an_answer_the_error_is_the_same(transport: Transport, how: str) -> None:
    act, kind, words = ENDS[how]
    with peer(act) as server:
        error = ask(model(server.url, transport=transport, timeout=0.3))[-1]
    assert isinstance(error, kind)
    words = words.format(host=f"127.0.0.1:{server.port}")
    assert str(error) == words if words.endswith(("ask again", ")", "`")) else str(error).startswith(words)


@both
def test_a_refused_connection_is_none_that_ran_out_of_time(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = ask(model(f"http://127.0.0.1:{port}/v1", transport=transport))[-1]
    assert isinstance(error, ModelConnectionError)
    assert str(error) == (
        f"cannot connect to 127.0.0.1:{port} ([Errno 111] Connect call failed ('127.0.0.1', {port})); check "
        "`base_url` (or OPENAI_BASE_URL), the network, and that the service runs"
    )


@both
def test_looking_up_a_name_takes_no_longer_than_connecting_may(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*args: Any, **how: Any) -> Any:
        await asyncio.sleep(30)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", never)
    limits = httpx2.Timeout(20, connect=0.2)
    error = ask(model("http://nowhere.invalid/v1", transport=transport, timeout=limits))[-1]
    assert isinstance(error, ModelTimeoutError)
    assert str(error).startswith("nowhere.invalid took no connection for 0.2 s; ")


@both
def test_a_request_that_is_not_taken_runs_out_of_time(transport: Transport) -> None:
    with peer(deaf) as server:
        limits = httpx2.Timeout(20, write=0.3)
        error = ask(model(server.url, transport=transport, timeout=limits), "x" * 20_000_000)[-1]
        assert isinstance(error, ModelTimeoutError)


@both
def test_a_long_request_is_sent_whole_and_warns_of_nothing(transport: Transport) -> None:
    with peer(saying(WHOLE)) as server:
        assert said(ask(model(server.url, transport=transport), "é" * 3_000_000)) == "hello"
    assert server.bodies[0].count("é".encode()) == 3_000_000
    assert b"transfer-encoding" not in server.heads[0].lower()


@both
def test_a_cancelled_request_is_cut_while_it_is_sent(transport: Transport) -> None:
    async def main(url: str) -> None:
        llm = model(url, transport=transport)
        subscription = llm(ChatRequest(({"role": "user", "content": "x" * 20_000_000},))).subscribe()
        await asyncio.sleep(0.1)
        subscription.dispose()
        await asyncio.sleep(0.05)

    def act(self: Peer, connection: socket.socket) -> None:
        connection.recv(1000)
        time.sleep(0.3)
        while connection.recv(65536):
            pass
        ended.set()

    ended = threading.Event()
    with peer(act) as server:
        asyncio.run(main(server.url))
        assert server.closed.wait(5)


@both
def test_a_cancelled_answer_closes_its_connection_at_once(transport: Transport) -> None:
    async def main(url: str) -> None:
        llm = model(url, transport=transport)
        first = asyncio.Event()
        subscription = llm(ChatRequest(({"role": "user", "content": "hi"},))).subscribe(lambda _: first.set())
        await asyncio.wait_for(first.wait(), 5)
        subscription.dispose()
        # in a thread: the loop is free to close it
        assert await asyncio.to_thread(server.closed.wait, 5)

    with peer(begun) as server:
        asyncio.run(main(server.url))


@both
def test_a_connection_is_kept_for_the_next_request(transport: Transport) -> None:
    async def main(url: str) -> None:
        llm = model(url, transport=transport)
        for _ in range(3):
            assert [each async for each in llm(ChatRequest(({"role": "user", "content": "hi"},)))]

    with peer(saying(WHOLE)) as server:
        asyncio.run(main(server.url))
        assert (server.connections, len(server.heads)) == (1, 3)


@both
def test_a_connection_that_the_service_closed_meanwhile_is_not_used_again(transport: Transport) -> None:
    async def main(url: str) -> None:
        llm = model(url, transport=transport)
        for _ in range(3):
            assert [each async for each in llm(ChatRequest(({"role": "user", "content": "hi"},)))]
            assert server.closed.wait(5)  # blocks the loop: it has heard nothing of it
            server.closed.clear()

    with peer(once(WHOLE)) as server:
        asyncio.run(main(server.url))
        assert server.connections == 3


@both
def test_no_place_in_the_pool_is_said_as_such(transport: Transport) -> None:
    async def main(url: str) -> str:
        limits = httpx2.Limits(max_connections=1)
        http_client = transports._CLIENTS[transport](
            limits=limits, verify=await certificates.tls_context(), trust_env=False
        )
        async with AsyncOpenAI(api_key="k", base_url=url, http_client=http_client, max_retries=0) as client:
            llm = OpenAILLM("m", client=client, timeout=httpx2.Timeout(10, pool=0.1))
            request = ChatRequest(({"role": "user", "content": "hi"},))
            first = asyncio.Event()
            subscription = llm(request).subscribe(lambda _: first.set())
            await asyncio.wait_for(first.wait(), 5)
            try:
                [each async for each in llm(request)]
            except ModelTimeoutError as error:
                subscription.dispose()
                await asyncio.sleep(0.05)
                server.act = saying(WHOLE)
                assert [each async for each in llm(request)]  # the place is free again
                return str(error)
        return ""

    with peer(begun) as server:
        words = asyncio.run(main(server.url))
        assert words.startswith(f"no connection to 127.0.0.1:{server.port} became free for 0.1 s; ")


def test_an_answer_may_be_compressed_redirected_or_have_a_long_head() -> None:
    packed = gzip.compress(BODY)
    redirected = (
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /v2/chat/completions\r\ncontent-length: 0\r\n\r\n"
    )
    answers = [
        HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed,
        redirected + WHOLE,
        HEAD + b"x-policy: %s\r\n" % (b"p" * 30_000) + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
        HEAD + b"connection: close\r\n\r\n" + BODY,
    ]

    for transport in BOTH:
        for answer in answers:

            def act(self: Peer, connection: socket.socket, answer: bytes = answer) -> None:
                while self.request(connection):
                    moved = answer.startswith(redirected) and b" /v2/" not in self.heads[-1]
                    connection.sendall(redirected if moved else answer.removeprefix(redirected))
                    if b"connection: close" in answer:
                        return

            with peer(act) as server:
                assert said(ask(model(server.url, transport=transport))) == "hello"
                assert len({*server.bodies}) == 1


@pytest.mark.skipif(not recorded_streams.RECORDINGS, reason="there are no recorded streams")
@both
def test_recorded_streams_are_read_as_the_client_of_openai_reads_them(transport: Transport) -> None:
    for path in recorded_streams.RECORDINGS:
        body = recorded_streams.body_of(path)
        whole = HEAD + b"transfer-encoding: chunked\r\n\r\n"
        for begin in range(0, len(body), 777):
            part = body[begin : begin + 777]
            whole += b"%x\r\n%b\r\n" % (len(part), part)
        with peer(saying(whole + b"0\r\n\r\n")) as server:
            items = ask(model(server.url, transport=transport))
        expected = recorded_streams.ours([body])
        assert [each for each in items if isinstance(each, dict)] == expected.deltas
        chunks, error = recorded_streams.chunks_of_openai(body)
        if error is not None:
            assert error in str(items[-1])
        elif path.stem not in recorded_streams.LIST_CONTENT:
            assert expected.answer() == recorded_streams.state_of_openai(chunks)
            assert items[-1] == expected.completion


@both
def test_addresses_are_taken_as_they_are(transport: Transport) -> None:
    with peer(saying(WHOLE)) as server:
        url = f"http://me:secret@127.0.0.1:{server.port}/a%2Fb/c%20d"
        assert said(ask(model(url, transport=transport))) == "hello"
        assert server.heads[0].startswith(b"POST /a%2Fb/c%20d/chat/completions HTTP/1.1\r\n")
        assert b"authorization: basic" in server.heads[0].lower()
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return
    with peer(saying(WHOLE), "::1") as server:
        assert said(ask(model(server.url, transport=transport))) == "hello"


def forwarding(self: Peer, connection: socket.socket) -> None:
    """A proxy: it tunnels, or answers itself."""
    self.request(connection)
    method, target, _ = self.heads[-1].split(b" ", 2)
    if method != b"CONNECT":
        connection.sendall(WHOLE)
        return
    host, _, port = target.decode().rpartition(":")
    with socket.create_connection((host, int(port))) as there:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def back() -> None:
            try:
                while more := there.recv(65536):
                    connection.sendall(more)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        while more := connection.recv(65536):
            there.sendall(more)
        there.shutdown(socket.SHUT_WR)
        thread.join(5)


@both
def test_a_proxy_of_the_environment_is_used_but_for_whom_it_is_not_for(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with peer(forwarding) as proxy, peer(saying(WHOLE)) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:se%40cret@127.0.0.1:{proxy.port}")
        assert said(ask(model("http://service.invalid/v1", transport=transport))) == "hello"
        head = proxy.heads[0].decode().lower()
        assert head.startswith("post http://service.invalid/v1/chat/completions http/1.1")
        assert "proxy-authorization: basic bwu6c2vaY3jldA==".lower() in head
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert said(ask(model(server.url, transport=transport))) == "hello"
        assert (len(proxy.heads), len(server.heads)) == (1, 1)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Peer, Path]]:
    """A service behind TLS, and the certificate to trust."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(CERTIFICATE)
    key.write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def act(self: Peer, connection: socket.socket) -> None:
        with context.wrap_socket(connection.dup(), server_side=True) as wrapped:
            saying(WHOLE)(self, wrapped)

    with peer(act) as server:
        server.url = f"https://localhost:{server.port}/v1"
        yield server, certificate


@both
def test_tls_trusts_what_the_environment_names(
    transport: Transport, secure: tuple[Peer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secure
    llm = model(server.url, transport=transport)
    error = ask(llm)[-1]
    assert isinstance(error, ModelConnectionError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert str(error).startswith(f"cannot connect to localhost:{server.port} (")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # looked up at the first request of a loop
    assert said(ask(model(server.url, transport=transport))) == "hello"
    with peer(forwarding) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        assert said(ask(model(server.url, transport=transport))) == "hello"
        head = proxy.heads[0].decode().lower()
        assert head.startswith(f"connect localhost:{server.port} ")
        assert "proxy-authorization: basic" in head
    assert b"proxy-authorization" not in server.heads[-1].lower()


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    error = ask(model("https://localhost:1/v1"))[-1]
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("the certificates of SSL_CERT_FILE cannot be read: ")
    monkeypatch.delenv("SSL_CERT_FILE")
    with peer(saying(WHOLE)) as server:
        assert said(ask(model(server.url))) == "hello"


def test_certificates_are_read_once_for_all_models_and_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    create = httpx2.create_ssl_context

    def count(*args: Any, **how: Any) -> Any:
        made.append(threading.get_ident())
        return create(*args, **how)

    monkeypatch.setattr(certificates, "_read", {})
    monkeypatch.setattr(httpx2, "create_ssl_context", count)
    for transport in BOTH:
        assert kind_of(OpenAILLM("m", api_key="k", transport=transport))
    assert len(made) == 1
    assert threading.get_ident() not in made  # and not on this thread


@both
def test_all_who_ask_first_share_one_client(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> int:
        monkeypatch.setattr(certificates, "_read", {})
        llm = OpenAILLM("m", api_key="k", transport=transport)
        clients = await asyncio.gather(*(clients_of(llm).current() for _ in range(20)))
        return len({id(client) for client in clients})

    assert asyncio.run(main()) == 1


def test_who_is_cancelled_while_certificates_are_read_takes_nobody_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()
    create = httpx2.create_ssl_context

    def slow() -> Any:
        assert go.wait(5)
        return create()

    async def main() -> None:
        first = asyncio.ensure_future(certificates.tls_context())
        second = asyncio.ensure_future(certificates.tls_context())
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        go.set()
        assert isinstance(await second, ssl.SSLContext)
        assert first.cancelled()

    monkeypatch.setattr(certificates, "_read", {})
    monkeypatch.setattr(httpx2, "create_ssl_context", slow)
    asyncio.run(main())


ASKING = """
    import asyncio, gc, os, sys
    from rxagents import OpenAILLM
    from rxagents.llm import ChatRequest, certificates

    async def ask(llm):
        return len([each async for each in llm(ChatRequest(({"role": "user", "content": "hi"},)))])

    def model():
        return OpenAILLM("m", base_url=os.environ["URL"], api_key="k")
"""

LEFT_BEHIND = """
    kept = []  # nothing goes before the end of the process
    for closed in (True, True, False):
        llm = model()
        loop = asyncio.new_event_loop()
        kept += [llm, loop]
        print(loop.run_until_complete(ask(llm)), flush=True)
        if closed:
            loop.close()
    llm = model()
    for _ in range(3):  # nothing but the model is kept
        loop = asyncio.new_event_loop()
        print(loop.run_until_complete(ask(llm)), flush=True)
        loop.close()
    del llm, loop
    gc.collect()
    if hasattr(os, "fork"):
        certificates._read.clear()
        certificates.begin_reading()
        if pid := os.fork():
            assert os.waitpid(pid, 0)[1] == 0
        else:
            print(asyncio.run(ask(kept[-2])), flush=True)
            sys.exit()
"""


def test_whatever_is_left_behind_aiohttp_does_not_complain() -> None:
    with OpenAIServer(lambda _: "hello") as server:
        out, errors = fresh(ASKING + LEFT_BEHIND, "-W", "ignore::DeprecationWarning", URL=server.base_url)
    assert errors == ""
    assert set(out.split()) == {"4"}
    assert len(out.split()) == 6 + hasattr(os, "fork")


def test_a_session_is_closed_on_its_loop_without_a_warning() -> None:
    async def main(url: str) -> None:
        llms = [model(url) for _ in range(3)]
        for llm in llms:
            assert [each async for each in llm(ChatRequest(({"role": "user", "content": "hi"},)))]
        await llms[0].aclose()
        assert [each async for each in llms[0](ChatRequest(({"role": "user", "content": "hi"},)))]
        del llms[1], llm
        gc.collect()

    with peer(saying(WHOLE)) as server:
        asyncio.run(main(server.url))
        gc.collect()


def test_a_socks_proxy_goes_over_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> str:
        http_client = new_http_client("aiohttp", await certificates.tls_context())
        async with http_client:
            url = httpx2.URL("https://service.invalid/")
            return type(http_client._transport_for_url(url)).__name__

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert asyncio.run(main()) == "_AiohttpTransport"
    pytest.importorskip("socksio")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    assert asyncio.run(main()) == "AsyncHTTPTransport"
