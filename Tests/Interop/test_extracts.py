"""Extracts of the certified log: for each party its own rows and nobody else's, proven by tools that everybody has."""

import random
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interop import base, compose
from interop.authority import Identity, sign
from interop.base import executable, find, new_folder, run
from interop.case import InteropTest
from interop.evidence import EX_DATAERR, command, flipped, sha256
from interop.extracts import BARE, Bundle, due
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, OPERATOR, shared

EX_NOINPUT, EX_CANTCREAT = 66, 73
NOBODY, FAR = "nessuno@pec.beta.test", "ordinario@example.test"
JUDGE = "Tribunale di Roma, decreto n. 1234/2026 R.G."


class Extracts(InteropTest):
    """A conversation among four holders of two providers; extracts come from Alfa's log."""

    _made: dict = {}

    @classmethod
    def setUpClass(cls):
        lab = shared()
        cls.word, cls.common = compose.token().replace("-", ""), compose.token().replace("-", "")
        cls.sent = {}
        plan = [
            (ANNA, [BRUNO], cls.word),
            (BRUNO, [ANNA], cls.word),
            (ANNA, [ALDO], cls.word),
            (ALDO, [BIANCA], cls.word),
            (BIANCA, [ALDO], cls.word),
            (ANNA, [NOBODY, FAR], cls.word),
            (ANNA, [BRUNO, BIANCA, ALDO], cls.common),
        ]
        for sender, recipients, subject in plan:
            world = lab.at("beta") if sender.endswith("beta.test") else lab
            sent = compose.simple(subject, recipients, sender)
            with world.trusted(seconds=30) as wire:
                wire.envelope(sender, sent.recipients)
                assert wire.data(sent.octets).code == 250
            cls.sent.setdefault(subject, []).append((sender, recipients, sent.message_id))
        for _ in range(2):
            lab.settled()
            lab.at("beta").settled()
        cls.events = lab.events()
        cls.lab_folder = lab.folder
        cls.archives = new_folder("extracts")

    def ids(self, subject: str, holder: str | None = None) -> set[str]:
        """PEC ids of the messages of this subject that a holder sent or got; all of them for nobody."""
        mine = [mark for sender, recipients, mark in self.sent[subject] if holder is None or holder == sender or holder in recipients]
        return {event["pecID"] for event in self.events if event.get("msgid") in mine}

    def extract(self, whom: str, subject: str, *more: str) -> Path:
        """An archive for a holder, or for a judge (by his order)."""
        key = (whom, subject, *more)
        if key not in self._made:
            path = self.archives / f"estratto-{len(self._made)}.zip"
            option = "--for" if "@" in whom else "--for-judge"
            command(self.lab, "log", "extract", option, whom, "--subject", subject, *more, "--to-file", path)
            self._made[key] = path
        return self._made[key]

    def bundle(self, whom: str, subject: str) -> Bundle:
        return Bundle.unpacked(self.extract(whom, subject))

    def test_rows_of_each_party(self):
        """Complete, and no other holder named; of a message to several, not how it fared with the others."""
        everybody = {ANNA, BRUNO, ALDO, BIANCA, NOBODY, FAR}
        for holder, others in {ANNA: {BRUNO, ALDO, NOBODY, FAR}, BRUNO: {ANNA}, ALDO: {ANNA, BIANCA}, BIANCA: {ALDO}}.items():
            with self.subTest(holder):
                bundle = self.bundle(holder, self.word)
                self.assertEqual({row["number"] for row in bundle.rows}, due(self.events, self.ids(self.word, holder), holder))
                named = bundle.naming(everybody)
                for name, found in named.items():
                    self.assertLessEqual(found, others | {holder}, f"{name} of the bundle of {holder}")
                for name in ("estratto.html", "estratto.pdf, text-raw", "dati.txt"):
                    self.assertIn(holder, named[name])
        for holder in (BRUNO, BIANCA, ALDO):
            with self.subTest("together with others", holder=holder):
                rows = self.bundle(holder, self.common).rows
                self.assertEqual({row["number"] for row in rows}, due(self.events, self.ids(self.common), holder))
                self.assertEqual({row["recipient"] for row in rows} - {None}, {holder})

    def test_judge(self):
        bundle = self.bundle(JUDGE, self.word)
        ids = self.ids(self.word)
        self.assertEqual({row["number"] for row in bundle.rows}, {event["number"] for event in self.events if event["pecID"] in ids})
        text = bundle.text()
        for address in (ANNA, BRUNO, ALDO, BIANCA, NOBODY):
            self.assertIn(address, text["estratto.html"])
            self.assertIn(address, text["estratto.pdf, text-raw"])
        self.assertIn("1234/2026", text["estratto.pdf, text-raw"])
        self.assertEqual(bundle.script()[0], 0)
        code, found = bundle.verify("--ca", self.lab.ca)
        self.assertEqual((code, found["faults"]), (0, []), found)

    def test_rows_about_the_log_itself(self):
        """They are nobody's message: a judge gets those that he asks for, and a holder none."""
        path = self.archives / "registro.zip"
        asked = ("--event", "apertura-registro", "--to-file", path)
        command(self.lab, "log", "extract", "--for", ANNA, *asked, code=EX_NOINPUT)
        command(self.lab, "log", "extract", "--for-judge", JUDGE, *asked)
        bundle = Bundle.unpacked(path)
        wanted = {event["number"] for event in self.events if event["event"] == "apertura-registro"}
        self.assertTrue(wanted)
        self.assertLessEqual(wanted, {row["number"] for row in bundle.rows})
        self.assertEqual({row["event"] for row in bundle.rows}, {"apertura-registro"})
        code, found = bundle.verify("--ca", self.lab.ca)
        self.assertEqual((code, found["faults"]), (0, []), found)

    def test_what_is_not_his(self):
        path = str(self.archives / "niente.zip")
        (theirs,) = {event["pecID"] for event in self.events if (event["sender"], event.get("subject")) == (BIANCA, self.word)}
        command(self.lab, "log", "extract", "--for", BRUNO, "--id", theirs, "--to-file", path, code=EX_NOINPUT)
        command(self.lab, "log", "extract", "--for", "estraneo@pec.alfa.test", "--subject", self.word, "--to-file", path, code=EX_NOINPUT)
        self.assertFalse(Path(path).exists())
        there = self.extract(BRUNO, self.word)
        before = there.read_bytes()
        command(self.lab, "log", "extract", "--for", BRUNO, "--subject", self.word, "--to-file", there, code=EX_CANTCREAT)
        self.assertEqual(there.read_bytes(), before)
        self.assertTrue([row for row in self.lab.events() if row["event"] == "estratto" and BRUNO in row["detail"] and f"asked by {OPERATOR}" in row["detail"]], "told in the log")

    def test_folder_and_archive_are_the_same(self):
        folder = self.archives / "cartella"
        command(self.lab, "log", "extract", "--for", BRUNO, "--subject", self.word, "--to-file", folder)
        one, two = Bundle(folder), self.bundle(BRUNO, self.word)
        self.assertEqual(one.rows, two.rows)
        same = [name for name in one.names if not name.startswith(("contenuto", "estratto", "dati", "VERIFICA", "verifica.html"))]
        self.assertEqual(one.names, two.names)
        for name in same:
            self.assertEqual((one.folder / name).read_bytes(), (two.folder / name).read_bytes(), name)
        self.assertEqual(one.script()[0], 0)
        done = run([executable(), "verify", "--ca", self.lab.ca, folder, self.extract(BRUNO, self.word)])
        self.assertEqual((done.returncode, done.stdout.decode().count("It holds.")), (0, 2), done.stdout.decode())

    def test_script_in_every_shell(self):
        bundle = self.bundle(BRUNO, self.word)
        self.need("dash", "bash", "busybox")
        given = ("-c", self.lab.ca, "-t", self.lab.ca)
        for shell, arguments in (("dash", ()), ("dash", given), ("bash", ()), ("busybox", given)):
            with self.subTest(shell, arguments=arguments):
                code, said = bundle.script(*arguments, shell=shell)
                self.assertEqual(code, 0, said)
                self.assertIn("VERIFICA RIUSCITA", said)
                self.assertIn(f"{len(bundle.rows)} righe, tutte provate", said)
        # Another authority than the true one vouches for nothing.
        other = self.lab.folder / "forge" / "ca.pem"
        self.assertEqual(bundle.script("-c", other, "-t", self.lab.ca)[0], 1)
        self.assertEqual(bundle.script("-c", self.lab.ca, "-t", other)[0], 1)
        self.assertEqual(bundle.verify("--ca", other)[0], EX_DATAERR)
        self.assertEqual(bundle.verify("--ca", self.lab.ca, "--stamp-ca", self.lab.ca)[0], 0)
        code, found = bundle.verify("--ca", self.lab.ca, "--stamp-ca", other)
        self.assertEqual((code, [fault for fault in found["faults"] if "sigillo.p7m" in fault or "contenuto" in fault]), (EX_DATAERR, []))
        self.assertEqual(bundle.names, self.bundle(BRUNO, self.word).names, "the script leaves nothing behind")

    def test_printed_steps(self):
        """Command by command, as somebody copies them into a terminal."""
        self.need("bash")
        bundle = self.bundle(BRUNO, self.word)
        steps = [step for step in bundle.steps() if "-c CA-del-gestore.pem" not in step]
        self.assertGreaterEqual(len(steps), 7)
        said = {}
        for step in steps:
            done = run([find("bash"), "-e", "-c", step], cwd=bundle.folder, env=BARE)
            said[step] = done.stdout.decode() + done.stderr.decode()
            self.assertEqual(done.returncode, 0, f"{step}\n{said[step]}")
        of = lambda word: "".join(words for step, words in said.items() if word in step)  # noqa: E731
        self.assertIn("VERIFICA RIUSCITA", of("sh verifica.sh"))
        self.assertEqual(of("openssl cms").count("CMS Verification successful"), 2)
        self.assertIn("Verification: OK", of("openssl ts -verify"))
        self.assertRegex(of("openssl ts -reply"), r"Time stamp: .*20\d\d GMT")
        self.assertNotRegex(of("sha256sum -c"), r"(?m)[^K]$(?<!\n)")
        self.assertIn("Fingerprint=", of("-fingerprint"))
        computed, manifest = of("grep -o '\"root\"").split()
        self.assertEqual(f'"root":"{computed}"', manifest)

    def test_bits(self):
        """One bit in each file: found by script and program, and told by its name; the script is another bundle's, as it is in all."""
        good = self.bundle(BRUNO, self.common)
        script = self.bundle(ANNA, self.word).folder / "verifica.sh"
        self.assertEqual(script.read_bytes(), (good.folder / "verifica.sh").read_bytes())
        dice = random.Random(f"{base.SEED}-bits")
        sizes = {name: (good.folder / name).stat().st_size for name in good.names}
        work = [(name, dice.randrange(size * 8)) for name, size in sizes.items() for _ in range(20 if base.LONG else 1)]
        self.assertGreaterEqual(len(work), 20)
        contents, signature = ((good.folder / name).read_bytes() for name in ("contenuto.txt", "contenuto.p7m"))
        ends = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
        known = [ssl.PEM_cert_to_DER_cert(each) for each in ends.findall((good.folder / "certificati/gestore.pem").read_text())]
        self.assertGreaterEqual(len(known), 2)
        # Of the list's signature openssl looks at what is signed, and the script at the certificates; our own program at all of it.
        seen = {at for part in [contents, *known] for at in range(signature.index(part), signature.index(part) + len(part))}
        work += [("contenuto.p7m", dice.choice(sorted(seen)) * 8 + dice.randrange(8)) for _ in range(6)]

        def judge(item: tuple[str, int]) -> list[str]:
            name, bit = item
            bundle, problems = good.copy(), []
            path = bundle.folder / name
            bundle.write(path, flipped(path.read_bytes(), bit))
            about = [name] + ([f"riga {Path(name).stem}:"] if name.startswith("eventi/") else [])
            if name != "contenuto.p7m" or bit // 8 in seen:
                code, said = bundle.script(bundle.folder, script=script)
                faults = [line for line in said.splitlines() if "ERRORE" in line]
                if code != 1 or not any(word in fault for fault in faults for word in about):
                    problems.append(f"{name}, bit {bit}: verifica.sh ended with {code} and said {faults}")
            code, found = bundle.verify()
            # A change in the list is told of the file that the list does not fit, or of the signature over it.
            if code != EX_DATAERR or not any(name in fault for fault in found["faults"]):
                problems.append(f"{name}, bit {bit}: verify ended with {code} and said {found['faults']}")
            return problems

        with ThreadPoolExecutor(4) as pool:
            self.fine([problem for found in pool.map(judge, work) for problem in found], f"seed {base.SEED}")

    def test_bits_of_the_archive(self):
        octets = self.extract(BRUNO, self.word).read_bytes()
        dice = random.Random(f"{base.SEED}-archive")
        path = self.archives / "cambiato.zip"
        for _ in range(200 if base.LONG else 12):
            bit = dice.randrange(len(octets) * 8)
            path.write_bytes(flipped(octets, bit))
            done = run([executable(), "verify", path])
            self.assertIn(done.returncode, (EX_DATAERR, EX_NOINPUT), f"bit {bit} of the archive: {done.stdout.decode()}")
        # One that is damaged does not keep the others from being looked at.
        path.write_bytes(octets[: len(octets) // 2])
        done = run([executable(), "verify", "--json", path, self.extract(BRUNO, self.word)])
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (EX_DATAERR, 2), done.stdout.decode())
        for changed in (octets[:-1], octets + b"\0", octets[: len(octets) // 2]):
            path.write_bytes(changed)
            self.assertIn(run([executable(), "verify", path]).returncode, (EX_DATAERR, EX_NOINPUT))

    def test_files_and_rows_removed_added_and_moved(self):
        good = self.bundle(BRUNO, self.common)
        numbers = sorted(row["number"] for row in good.rows)

        def lines(bundle: Bundle, change) -> None:
            path = bundle.folder / "eventi.jsonl"
            bundle.write(path, b"".join(change(path.read_bytes().splitlines(keepends=True))))

        def swap(bundle: Bundle) -> None:
            one, two = (bundle.folder / "eventi" / f"{number}.json" for number in numbers[:2])
            first, second = one.read_bytes(), two.read_bytes()
            bundle.write(one, second)
            bundle.write(two, first)

        cases = {
            "a row away": (lambda bundle: (bundle.folder / "eventi" / f"{numbers[0]}.json").unlink(), f"eventi/{numbers[0]}.json"),
            "a line away": (lambda bundle: lines(bundle, lambda rows: rows[1:]), "eventi.jsonl"),
            "a line twice": (lambda bundle: lines(bundle, lambda rows: rows + rows[-1:]), "eventi.jsonl"),
            "two lines changed over": (lambda bundle: lines(bundle, lambda rows: rows[1::-1] + rows[2:]), "eventi.jsonl"),
            "two rows changed over": (swap, f"eventi/{numbers[0]}.json"),
            "a file too many": (lambda bundle: bundle.write_new("eventi/1000000.json", b"{}"), "eventi/1000000.json"),
            "the stamp away": (lambda bundle: next(bundle.folder.glob("sigilli/*/marca-1.tst")).unlink(), "marca-1.tst"),
            "the list's signature away": (lambda bundle: (bundle.folder / "contenuto.p7m").unlink(), "contenuto.p7m"),
        }
        script = self.bundle(ANNA, self.word).folder / "verifica.sh"

        def judge(case) -> list[str]:
            name, (change, place) = case
            bundle = good.copy()
            change(bundle)
            code, said = bundle.script(bundle.folder, script=script)
            by_script = code == 1 and any("ERRORE" in line and place in line for line in said.splitlines())
            code, found = bundle.verify()
            by_program = code == EX_DATAERR and any(place in fault for fault in found["faults"])
            return ([] if by_script else [f"{name}: {said}"]) + ([] if by_program else [f"{name}: {found['faults']}"])

        with ThreadPoolExecutor(4) as pool:
            self.fine([problem for found in pool.map(judge, cases.items()) for problem in found])

    def test_a_forged_bundle(self):
        """Somebody with a key of his own makes list and signatures anew over a changed row: whole in itself, and nobody's whom we trust."""
        bundle = self.bundle(BRUNO, self.word)
        forger = Identity(self.lab.folder / "forge" / "signer.pem")
        row = bundle.folder / "eventi" / f"{bundle.rows[0]['number']}.json"
        old = row.read_bytes()
        new = re.sub(rb'"bytes":(\d+)', lambda found: b'"bytes":%d' % (int(found[1]) + 1), old)
        bundle.write(row, new)
        lines = bundle.folder / "eventi.jsonl"
        bundle.write(lines, lines.read_bytes().replace(old, new))
        above = "".join("-----BEGIN CERTIFICATE-----" + each for each in forger.path.read_text().split("-----BEGIN CERTIFICATE-----")[1:])
        bundle.write(bundle.folder / "certificati" / "gestore.pem", above.encode())
        named = [path for path in bundle.files if not path.name.startswith("contenuto")]
        listed = "".join(f"{sha256(path.read_bytes()).hex()}  {path.relative_to(bundle.folder)}\n" for path in named)
        bundle.write(bundle.folder / "contenuto.txt", listed.encode())
        bundle.write(bundle.folder / "contenuto.p7m", sign(listed.encode(), [forger], inside=True))
        for options in ((), ("-c", self.lab.ca, "-t", self.lab.ca)):
            code, said = bundle.script(*options)
            self.assertEqual(code, 1, said)
            self.assertRegex(said, rf"ERRORE\s+riga {row.stem}: non porta all'impronta")
        code, found = bundle.verify()
        self.assertEqual(code, EX_DATAERR)
        self.assertTrue(any(f"row {row.stem}" in fault for fault in found["faults"]), found["faults"])
