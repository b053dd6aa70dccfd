"""An SMTP server that takes what it gets and keeps it: the world around a gateway whose fate a test decides."""

import asyncio
import re
import ssl
import threading
import zlib
from dataclasses import dataclass

from .mailboxes import Stored


@dataclass
class Taken:
    """A transaction that was answered 250."""

    sender: str
    recipients: tuple[str, ...]
    #: Compressed: a long run takes tens of thousands.
    packed: bytes
    session: int

    @property
    def octets(self) -> bytes:
        return zlib.decompress(self.packed)

    @property
    def stored(self) -> Stored:
        return Stored(None, self.octets, self.sender, self.recipients)


class Sink:
    """Listens on loopback in a thread of its own; `taken` grows. It can be stopped and started again on the same port.

    `policy(stage, argument)` may give a reply line instead of the good one; stages are `greeting`, `EHLO`, `MAIL`, `RCPT`, `DATA`,
    `message`. `extensions` are what EHLO announces; with `tls` also STARTTLS.
    """

    def __init__(
        self,
        policy=None,
        extensions=("PIPELINING", "SIZE 200000000", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES"),
        port: int = 0,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ):
        self.policy = policy or (lambda stage, argument: None)
        self.extensions = extensions
        self.port = port
        self.address = address
        self.tls = tls
        #: Sessions in which TLS was begun.
        self.secured: set[int] = set()
        self.taken: list[Taken] = []
        self.sessions = 0
        self.commands: list[str] = []
        self._loop = None
        self.start()

    def start(self) -> "Sink":
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10) or self._loop is None:
            raise RuntimeError("the sink did not start")
        return self

    def stop(self) -> None:
        """Closes the listener and cuts every session."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)
            self._loop = None

    def _run(self, started: threading.Event) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._stopped = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._session, self.address, self.port, limit=2**20, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        started.set()
        await self._stopped.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        number = self.sessions
        self._writers.add(writer)
        try:
            await self._talk(reader, writer, number)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError, asyncio.LimitOverrunError, ValueError):
            pass  # the peer is gone, or the sink is being stopped
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _talk(self, reader, writer, number: int) -> None:
        sender, recipients, body = None, [], bytearray()

        async def say(stage: str, argument: str, good: str) -> bool:
            reply = self.policy(stage, argument) or good
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
            if reply.startswith("421"):
                raise ConnectionError
            return reply[0] in "23"

        if not await say("greeting", "", "220 sink.example.test ESMTP"):
            return
        while True:
            line = (await reader.readuntil(b"\r\n")).decode("latin-1").rstrip("\r\n")
            self.commands.append(line[:200])
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                lines = ["sink.example.test", *self.extensions, *(["STARTTLS"] if self.tls and number not in self.secured else [])]
                text = "\r\n".join(f"250{'-' if at < len(lines) - 1 else ' '}{each}" for at, each in enumerate(lines))
                await say("EHLO", argument, text)
            elif verb == "HELO":
                await say("HELO", argument, "250 sink.example.test")
            elif verb == "STARTTLS" and self.tls:
                if await say("STARTTLS", "", "220 2.0.0 Begin"):
                    await writer.start_tls(self.tls)
                    self.secured.add(number)
            elif verb == "MAIL":
                address = re.search(r"<([^>]*)>", argument)[1]
                if await say("MAIL", address, "250 2.1.0 Ok"):
                    sender, recipients, body = address, [], bytearray()
            elif verb == "RCPT":
                address = re.search(r"<([^>]*)>", argument)[1]
                if await say("RCPT", address, "250 2.1.5 Ok"):
                    recipients.append(address)
            elif verb == "DATA":
                if sender is None or not recipients:
                    await say("none", "", "503 5.5.1 No recipients")
                elif await say("DATA", "", "354 Go on"):
                    while (text := await reader.readuntil(b"\r\n")) != b".\r\n":
                        body += text[1:] if text.startswith(b".") else text
                    await self._finish(say, sender, recipients, body, number)
                    sender, recipients, body = None, [], bytearray()
            elif verb == "BDAT":
                size, last = int(argument.split()[0]), argument.upper().endswith("LAST")
                body += await reader.readexactly(size)
                if sender is None or not recipients:
                    await say("none", "", "503 5.5.1 No recipients")
                elif last:
                    await self._finish(say, sender, recipients, body, number)
                    sender, recipients, body = None, [], bytearray()
                else:
                    await say("BDAT", "", "250 2.0.0 Chunk")
            elif verb == "QUIT":
                await say("QUIT", "", "221 2.0.0 Bye")
                return
            elif verb in ("RSET", "NOOP"):
                sender, recipients, body = None, [], bytearray()
                await say(verb, "", "250 2.0.0 Ok")
            else:
                await say("other", line, "500 5.5.2 What?")

    async def _finish(self, say, sender, recipients, body, number) -> None:
        taken = Taken(sender, tuple(recipients), zlib.compress(body, 1), number)
        reply = self.policy("message", sender)
        if reply is None or reply.startswith("2"):
            self.taken.append(taken)  # before the reply: a peer that is killed after it must find it taken
        await say("reply", sender, reply or "250 2.0.0 Taken")
