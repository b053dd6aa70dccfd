"""Clean mail of every shape passes both points unchanged, and the log says who has looked at it."""

from email.utils import formatdate

from interop import compose, expect
from interop.base import note, poll
from interop.cleanmail import clean
from interop.expect import Sent, differences
from interop.forgers import MARIO
from interop.guarded import quarantine
from interop.lab import ANNA
from interop.notices import found
from interop.virus_case import VirusTest

OUTSIDE = "ordinario@posta.example.test"
WORD = "scanned clean by ClamAV "


def head(sender: str, recipient: str, identifier: str | None = None) -> bytes:
    lines = [f"Date: {formatdate(localtime=True)}", f"From: {sender}", f"To: {recipient}", "Subject: Documenti"]
    lines += [f"Message-ID: {identifier}"] if identifier else []
    return "".join(line + "\r\n" for line in lines).encode()


class CleanShapes(VirusTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shapes = clean(cls.gateway.folder / "gamma" / "signer.pem")

    def test_submitted(self):
        self.need("openssl")
        shapes = [shape for shape in self.shapes if shape.is_for_submission]
        sents = []
        for shape in shapes:
            identifier = f"<{compose.token()}@client.example.test>"
            sents.append(Sent(head(ANNA, OUTSIDE, identifier) + shape.rest, ANNA, [OUTSIDE], "Documenti", identifier))
        self.submit(*sents)
        mailbox = self.gateway.mailbox(ANNA)
        for sent in sents:
            mailbox.wait(lambda stored, sent=sent: stored.header.get("X-Riferimento-Message-ID") == sent.message_id, 60, what="an answer")
        self.gateway.settled()
        carried = {}
        for taken in self.sink.taken:
            stored = taken.stored
            carried.setdefault(stored.header.get("X-Riferimento-Message-ID"), []).append(stored)
        events = self.gateway.events()
        for shape, sent in zip(shapes, sents):
            with self.subTest(shape.name):
                answers = mailbox.matching(lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id)
                said = [(stored.kind, stored.message.data.extended_error) for stored in answers]
                self.assertEqual(said, [("accettazione", None)])
                self.assertEqual(len(carried[sent.message_id]), 1)
                self.fine(
                    expect.check_envelope(carried[sent.message_id][0], sent) + self.gateway.judge.fast(carried[sent.message_id][0].message)
                )
                rows = found([event for event in events if event["pecID"] == answers[0].message.data.pec_id], "accettazione")
                self.assertTrue(rows[0]["detail"].startswith(WORD), rows)
        note(f"{len(sents)} messages, {sum(len(sent.octets) for sent in sents) / 1e6:.0f} MB")
        self.assertEqual([row for row in quarantine(self.gateway) if row["kind"] == "submission"], [])

    def test_in_envelopes(self):
        self.need("openssl")
        letters = []
        for shape in self.shapes:
            letter = self.gamma.envelope(MARIO, [ANNA], "Documenti", original=head(MARIO, ANNA) + shape.rest)
            letter.original_encoding = shape.encoding
            letters.append((shape, letter, letter.octets))
            self.post(letters[-1][2], MARIO, [ANNA])
        self.answered({letter.certified.pec_id: 2 for _, letter, _ in letters}, 90)
        events = self.gateway.events()
        for shape, letter, octets in letters:
            with self.subTest(shape.name):
                pec_id = letter.certified.pec_id
                answers = self.about_letter(letter)
                self.assertEqual(sorted(answers), ["avvenuta-consegna", "presa-in-carico"])
                copies = self.gateway.mailbox(ANNA).matching(lambda stored: stored.header.get("Message-ID") == f"<{pec_id}>")
                self.assertEqual(len(copies), 1)
                self.assertEqual(copies[0].untraced == octets, True, "not the octets that came")
                self.fine(differences(answers["avvenuta-consegna"][0].message.original, letter.original))
                rows = found([event for event in events if event["pecID"] == pec_id], "ricezione-busta")
                self.assertIn(WORD, rows[0]["detail"])
        poll(lambda: self.gateway.status()["scansWaiting"] == 0, 10, "no scan under way")
        self.assertEqual(quarantine(self.gateway), [])
