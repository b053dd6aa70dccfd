"""A HAProxy of our own on loopback, which says whom it speaks for (PROXY protocol) in front of a gateway's ports."""

from pathlib import Path

from .base import end, find, free_block, new_folder, poll, port_is_free, run, spawn, tail

#: Where it connects from.
ADDRESS = "127.0.0.2"

_HEAD = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""


class HAProxy:
    """`ways`: for each name the gateway's port and the server's options, such as `send-proxy-v2`."""

    def __init__(self, ways: dict[str, tuple[int, str]]):
        self.folder = new_folder("haproxy")
        first = free_block(len(ways))
        self.ports = {name: first + number for number, name in enumerate(ways)}
        text = _HEAD
        for name, (port, options) in ways.items():
            text += f"""
frontend {name}
    bind 127.0.0.1:{self.ports[name]}
    unique-id-format %[uuid()]
    default_backend to-{name}
backend to-{name}
    server gateway 127.0.0.1:{port} source {ADDRESS} check inter 500ms {options}
"""
        self.configuration, self.log = self.folder / "haproxy.cfg", self.folder / "haproxy.log"
        Path(self.configuration).write_text(text)

    def start(self) -> "HAProxy":
        checked = run([find("haproxy"), "-c", "-f", self.configuration])
        assert checked.returncode == 0, checked.stderr.decode(errors="replace")
        self.process = spawn([find("haproxy"), "-db", "-f", self.configuration], self.log)
        poll(lambda: not any(port_is_free(port) for port in self.ports.values()), 20, lambda: f"HAProxy's ports: {tail(self.log)}")
        return self

    def stop(self) -> None:
        end(self.process)
