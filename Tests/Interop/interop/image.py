"""The container image: built once for what it is made of, unpacked as an engine would, and started from its own root file system."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import tarfile
from pathlib import Path

from .base import REPOSITORY, end, find, new_folder, note, poll, run, spawn, tail
from .guarded import Guarded, Signatures

#: As README.md says it.
BUILD = "./Appliance/image/build"
LAYOUT = REPOSITORY / ".build" / "image" / "oci"
#: The number that the image's files and volumes know its user by.
USER = 10025


def made_of() -> str:
    """A digest of everything of this tree that the image is made of."""
    digest = hashlib.sha256()
    release = REPOSITORY / ".build" / "release"
    files = [release / "ceralacca", release / "ceralacca-scanner", REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", REPOSITORY / "LICENSE"]
    files += sorted((REPOSITORY / "Appliance" / "image").glob("*"))
    for path in files:
        if path.is_file():
            digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Image:
    """The layout that `Appliance/image/build` writes, and its root file system in a folder of this run."""

    _one: "Image | None" = None

    @classmethod
    def built(cls) -> "Image":
        """The image of this tree: built when there is none yet or something has changed."""
        if cls._one is None:
            stamp = LAYOUT.parent / "made-of"
            if not LAYOUT.is_dir() or not stamp.is_file() or stamp.read_text() != made_of():
                note("building the image")
                done = run([BUILD], seconds=1500, cwd=REPOSITORY)
                assert done.returncode == 0, f"{BUILD}: {done.returncode}\n{done.stderr.decode(errors='replace')[-4000:]}"
                stamp.write_text(made_of())
            cls._one = cls(LAYOUT)
        return cls._one

    def __init__(self, layout: Path):
        self.layout = layout
        index = json.loads((layout / "index.json").read_text())
        self.manifest = json.loads(self.blob(index["manifests"][0]["digest"]))
        self.configuration = json.loads(self.blob(self.manifest["config"]["digest"]))["config"]
        self.differences = json.loads(self.blob(self.manifest["config"]["digest"]))["rootfs"]["diff_ids"]
        self.packed_bytes = sum(layer["size"] for layer in self.manifest["layers"])
        self.root = new_folder("image")
        self.members: dict[str, tarfile.TarInfo] = {}
        for layer, difference in zip(self.manifest["layers"], self.differences, strict=True):
            octets = gzip.decompress(self.blob(layer["digest"]))
            assert "sha256:" + hashlib.sha256(octets).hexdigest() == difference, f"layer {layer['digest']} is not what the image says"
            with tarfile.open(fileobj=io.BytesIO(octets)) as archive:
                for member in archive:
                    assert ".wh." not in member.name, f"{member.name}: a layer takes away what one below it has"
                    self.members[member.name.removeprefix("./").rstrip("/")] = member
                # As an engine does it: owners and modes as they are. (Python before 3.11.4 knows no other way, and no name for it.)
                archive.extraction_filter = lambda member, path: member
                archive.extractall(self.root)

    def blob(self, digest: str) -> bytes:
        octets = (self.layout / "blobs" / Path(*digest.split(":", 1))).read_bytes()
        assert hashlib.sha256(octets).hexdigest() == digest.split(":")[1], digest
        return octets

    @property
    def bill(self) -> dict:
        return json.loads((self.root / self.configuration["Labels"]["org.ceralacca.sbom"].lstrip("/")).read_text())


class Boxed(Guarded):
    """A gateway of the laboratory that runs in the image: another user, everything read-only but its volumes, no way to more rights.

    Bubblewrap is the engine: `no_new_privs`, no capabilities, namespaces of its own but for the network, so that tests reach it on loopback.
    It is not root that starts it.
    """

    def __init__(self, image: Image, world_port: int | None, provider: str = "alfa", beside: "Boxed | None" = None):
        super().__init__(world_port, Signatures(), provider=provider, beside=beside)
        self.image, home = image, self.folder / provider
        self.settings, self.volume, self.info = home / "etc-ceralacca", home / "data", home / "box.json"
        self.settings.mkdir()
        text = self.configuration.read_text()
        for name in sorted(set(re.findall(re.escape(str(self.folder)) + r"/([\w.-]+)", text)), key=len, reverse=True):
            shutil.copy(self.folder / name, self.settings)
            text = text.replace(str(self.folder / name), name)
        for name in ("signer.pem", "tls.pem", "tls.key", "users"):
            shutil.copy(home / name, self.settings)
        text = text.replace(str(self.signatures.folder), "/var/lib/clamav")
        assert str(self.folder) not in text, f"the configuration names places outside the box:\n{text}"
        lines = [line for line in text.splitlines() if not line.startswith(("dataDirectory:", "mailboxes:"))]
        lines += ["dataDirectory: /var/lib/ceralacca", "mailboxes: { maildir: /var/lib/ceralacca/mail }"]
        (self.settings / "ceralacca.yaml").write_text("\n".join(lines) + "\n")
        shutil.rmtree(self.volume, ignore_errors=True)
        (self.volume / "mail").mkdir(parents=True)
        for path in (self.volume, self.settings):
            path.chmod(0o700)
            for below in (path, *path.rglob("*")):
                os.chown(below, USER, USER)
        os.chmod(home / "mail", 0o755)
        os.rmdir(home / "mail") if not any((home / "mail").iterdir()) else shutil.rmtree(home / "mail")
        (home / "mail").symlink_to(self.volume / "mail")

    def box(self, *command: str, info: bool = False) -> list[str]:
        """What starts a command in the image. With `info` the command's process is written down in `self.info`."""
        limits = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        places = ["--ro-bind", self.image.root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        places += ["--ro-bind", self.settings, "/etc/ceralacca", "--ro-bind", self.signatures.folder, "/var/lib/clamav"]
        places += ["--bind", self.volume, "/var/lib/ceralacca", "--chdir", self.image.configuration["WorkingDir"], "--clearenv"]
        for variable in self.image.configuration["Env"]:
            places += ["--setenv", *variable.split("=", 1)]
        apart = ["--unshare-all", "--share-net", "--as-pid-1", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        told = ["--info-fd", "9"] if info else []
        box = [*limits, "bwrap", *apart, *places, *told, "--", *command]
        return ["bash", "-c", 'exec "$@" 9>"$0"', self.info, *box] if info else box

    def inside(self, *command: str, seconds: float = 60):
        """Runs a command of the image to its end, beside the gateway and with the same volumes."""
        return run(self.box(*command), seconds=seconds, cwd="/")

    def start(self, seconds: float = 60) -> "Boxed":
        configuration = self.image.configuration
        self.process = spawn(self.box(*configuration["Entrypoint"], *configuration["Cmd"], info=True), self.log, cwd="/")

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the image ended with code {self.process.returncode}:\n{tail(self.log, 30)}")
            return (self.data / "control.sock").exists() and self.status().get("scannerUp")

        poll(answers, seconds, lambda: f"a gateway with a scanner in the image; its last words:\n{tail(self.log, 30)}", every=0.1)
        return self

    def status(self) -> dict[str, int]:
        try:
            return super().status()
        except ConnectionError:
            return {}

    @property
    def pid(self) -> int:
        """Its first process, as it is known out here."""
        return json.loads(self.info.read_text())["child-pid"]

    def stop(self) -> int:
        """Stops it as an engine would, by the image's own signal; returns its exit code."""
        if self.process and self.process.poll() is None:
            os.kill(self.pid, getattr(signal, self.image.configuration["StopSignal"]))
            self.process.wait(60)
        return end(self.process) if self.process else 0

    def operator(self, *arguments) -> list[dict]:
        done = self.inside("/usr/local/bin/ceralacca", *map(str, arguments), "--json", "--config", "/etc/ceralacca/ceralacca.yaml")
        assert done.returncode == 0, f"{arguments}: {done.stderr.decode(errors='replace')}"
        return [json.loads(line) for line in done.stdout.decode().splitlines()]


def tools() -> list[str]:
    """What is missing to start an image here."""
    return [tool for tool in ("bwrap", "setpriv", "bash") if not find(tool)]
