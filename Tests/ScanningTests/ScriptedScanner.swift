/// A scanner process in Python that does what the texts say: the database's text how the parent behaves, each message's text how the
/// worker does that gets it. It speaks the wire by its own code, so that both readings of the wire must agree.
///
/// Database, a word and its value in each line: `version N`; `gate PATH` (loading waits there); `say WHY` (loading fails);
/// `exit CODE`; `nonsense`; `deaf` (no worker is ever forked); `stillborn` (workers end at once); `trial WORDS` (what workers do with the harmless message); `immortal` (does not end when told to).
/// Message, words of the first line: `clean`, `virus NAME`, `encrypted NAME`, `limits NAME`; `die`, `hang`, `die-once PATH`,
/// `hang-once PATH`, `fail`, `lie`, `garbage`, `pass`, `early`, `twice`; `gate PATH` (waits there, then clean); `mark PATH` (leaves a
/// mark, then clean), `descriptors` (names what is open), `settings` (names what the parent was told).
enum ScriptedScanner {
  static func text(python: String) -> String { "#!\(python) -ESs\n" + body }

  private static let body = #"""
    import ctypes, mmap, os, select, signal, socket, struct, sys

    FORMAT = 1
    PREFIX = b"Received: by localhost\r\n"

    def text(words):
        words = words.encode()
        return struct.pack(">H", len(words)) + words

    def packet(kind, *fields):
        return bytes([FORMAT, kind]) + b"".join(fields)

    class Reader:
        def __init__(self, octets):
            assert octets[0] == FORMAT
            self.kind, self.octets, self.at = octets[1], octets, 2
        def take(self, form):
            value = struct.unpack_from(">" + form, self.octets, self.at)[0]
            self.at += struct.calcsize(">" + form)
            return value
        def text(self):
            count = self.take("H")
            self.at += count
            return self.octets[self.at - count:self.at].decode()

    def gate(path):
        open(path + ".arrived", "w").close()
        open(path + ".go").close()

    def once(path):
        try:
            os.unlink(path)
            return True
        except FileNotFoundError:
            return False

    def verdict(job, code, name=None, views=0):
        return packet(49, struct.pack(">QIB", job, views, code), text(name) if name is not None else b"")

    def worker(channel, told):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        while True:
            octets, passed, flags, _ = socket.recv_fds(channel, 65536, 1)
            if not octets:
                os._exit(0)
            fields = Reader(octets)
            assert fields.kind == 33 and len(passed) == 1
            job, size, prefix = fields.take("Q"), fields.take("Q"), fields.take("I")
            memory = passed[0]
            assert os.fstat(memory).st_size == size and prefix == len(PREFIX)
            content = os.pread(memory, size, 0)
            try:
                os.pwrite(memory, b"x", 0)
                os._exit(9)
            except PermissionError:
                pass
            os.close(memory)
            assert len(content) == size and content.startswith(PREFIX)
            words = content[prefix:prefix + 4096].decode("latin-1").split("\n")[0].strip().split(" ")
            act(channel, job, words, told)

    def act(channel, job, words, told):
        word, value = words[0], words[1] if len(words) > 1 else ""
        if word == "Subject:":
            word, value = (told.split(" ") + [""])[4:6]
        if word == "die" or word == "die-once" and once(value):
            os.kill(os.getpid(), signal.SIGSEGV)
            signal.pause()
        if word == "hang" or word == "hang-once" and once(value):
            while True:
                signal.pause()
        if word == "gate":
            gate(value)
        if word == "mark":
            with open(value, "a") as marks:
                marks.write("x")
        if word == "virus":
            channel.send(verdict(job, 1, value, views=3))
        elif word == "encrypted":
            channel.send(verdict(job, 2, value))
        elif word == "limits":
            channel.send(verdict(job, 3, value))
        elif word == "descriptors":
            channel.send(verdict(job, 1, ",".join(sorted(x for x in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + x)))))
        elif word == "settings":
            channel.send(verdict(job, 1, told.rstrip()))
        elif word == "fail":
            channel.send(packet(50, struct.pack(">Q", job), text("out of tea")))
        elif word == "lie":
            channel.send(verdict(job ^ 1, 0))
        elif word == "garbage":
            channel.send(os.urandom(100))
        elif word == "pass":
            socket.send_fds(channel, [verdict(job, 0)], [0])
        elif word == "early":
            channel.send(verdict(job, 0))
            channel.send(verdict(job, 0))
        elif word == "long":
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            channel.send(verdict(job, 0) + b"x" * 70000)
        else:
            channel.send(verdict(job, 0))

    def say(control, octets):
        try:
            control.send(octets)
        except BrokenPipeError:
            pass

    def parent():
        control = socket.socket(fileno=3)
        wake, bell = os.pipe()
        os.set_blocking(bell, False)
        signal.set_wakeup_fd(bell)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        fields = Reader(control.recv(65536))
        assert fields.kind == 1
        database, temporary = fields.text(), fields.text()
        user = fields.text() if fields.take("B") else ""
        about = os.stat(temporary)
        told = "%s %o %d %s" % (os.path.basename(temporary).rsplit("-", 3)[0], about.st_mode & 0o777, about.st_uid, user)
        open(temporary + "/left", "w").close()
        os.mkdir(temporary + "/folder")
        os.symlink("/etc", temporary + "/folder/link")
        plan = dict((line + " ").split(" ", 1) for line in open(database).read().splitlines())
        plan = {word: value.strip() for word, value in plan.items()}
        told += " " + plan.get("trial", "")
        if "gate" in plan:
            gate(plan["gate"])
        if "exit" in plan:
            os._exit(int(plan["exit"]))
        if "say" in plan:
            control.send(packet(18, text(plan["say"])))
            sys.exit(1)
        if "nonsense" in plan:
            control.send(b"\x01\x02\x03")
            signal.pause()
        warnings = [plan["warning"]] if "warning" in plan else []
        say(control, packet(17, text("Scripted 1.0"), text("version " + plan["version"]), struct.pack(">q", 7), bytes([len(warnings)]),
                            *[text(warning) for warning in warnings]))
        children = set()
        while True:
            ready, _, _ = select.select([control, wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
            while children:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                children.discard(pid)
                how = "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "exit code %d" % os.WEXITSTATUS(status)
                say(control, packet(20, struct.pack(">i", pid), text(how)))
            if control not in ready:
                continue
            octets, passed, _, _ = socket.recv_fds(control, 65536, 1)
            if not octets:
                while "immortal" in plan:
                    signal.pause()
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                for pid in children:
                    os.waitpid(pid, 0)
                os._exit(0)
            fields = Reader(octets)
            if fields.kind == 2 and "deaf" not in plan:
                number = fields.take("I")
                pid = os.fork()
                if pid == 0:
                    try:
                        for own in (wake, bell, 3):
                            os.close(own)
                        if "stillborn" in plan:
                            os._exit(6)
                        worker(socket.socket(fileno=passed[0]), told)
                    finally:
                        os._exit(8)
                os.close(passed[0])
                children.add(pid)
                say(control, packet(19, struct.pack(">Ii", number, pid)))
            elif fields.kind == 3:
                pid = fields.take("i")
                if pid in children:
                    os.kill(pid, signal.SIGKILL)

    parent()
    """#
}
