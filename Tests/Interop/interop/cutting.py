"""A line between the gateway and a mail server that can be cut at the worst moments. The server behind it is a real one."""

import re
import socket
import threading

_TAKEN = re.compile(rb" queued as |Ok: ")
_CHUNK = re.compile(rb"BDAT (\d+) LAST\r\n")


class Line:
    """Listens on a port of its own and passes everything on to `target`. `manner` says when a connection is cut:

    `pass`: never. `answer`: instead of the server's word on a message, from the `after`-th recipient on; it has the message by then.
    `message`: instead of the message's last octets, so that the server never has it; the gateway cannot know. `refuse`: at once.
    Nothing is cut by `deny`: as `answer`, but the gateway hears 451 in place of the server's word.
    """

    def __init__(self, target: int):
        self.target, self.manner, self.after, self.cuts, self.denials = target, "pass", 0, 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()
        for each in list(self._open):
            self._close(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.manner == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 10)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            state = {"body": False, "answers": 0}
            for work in (self._up, self._down):
                threading.Thread(target=work, args=(client, server, state), daemon=True).start()

    def _close(self, *sockets: socket.socket) -> None:
        for each in sockets:
            self._open.discard(each)
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _cut(self, *sockets: socket.socket) -> None:
        self.cuts += 1
        self._close(*sockets)

    def _up(self, client: socket.socket, server: socket.socket, state: dict) -> None:
        """What the gateway says. A message is passed on but for its last octets until it is known whether it may arrive."""
        seen = b""
        try:
            while octets := client.recv(65536):
                seen += octets
                if chunk := _CHUNK.search(seen):
                    end = chunk.end() + int(chunk[1])
                    if self.manner == "message":
                        while len(seen) < end and (octets := client.recv(65536)):
                            seen += octets
                        return self._cut(client, server)
                    if len(seen) >= end:
                        seen = seen[end:]
                elif len(seen) > 1 << 20:
                    seen = seen[-1000:]
                server.sendall(octets)
        except OSError:
            pass
        finally:
            self._close(client, server)

    def _down(self, client: socket.socket, server: socket.socket, state: dict) -> None:
        """What the server says: Dovecot's word on a message ends in "Saved", Postfix's names its queue file, the gateway's says "Ok"."""
        try:
            while octets := server.recv(65536):
                lines = octets.splitlines(keepends=True)
                for number, line in enumerate(lines):
                    if line.startswith(b"250 2.0.0 ") and (line.rstrip().endswith(b" Saved") or _TAKEN.search(line)):
                        if self.manner == "answer" and state["answers"] >= self.after:
                            client.sendall(b"".join(lines[:number]))
                            return self._cut(client, server)
                        if self.manner == "deny" and state["answers"] >= self.after:
                            lines[number] = b"451 4.2.0 Internal error occurred\r\n"
                            self.denials += 1
                        state["answers"] += 1
                    elif line.startswith(b"250 2.1.0"):
                        state["answers"] = 0
                client.sendall(b"".join(lines))
        except OSError:
            pass
        finally:
            self._close(client, server)
