"""The families of the corpus: what can be odd about a correct message."""

import base64
import binascii
import quopri

from .corpus import PLAIN, Builder, base64_lines, crlf, mime, multipart
from .lab import ANNA

ITALIAN = "Perché così? È già più in là: «città», 50 €.\n"


def encodings(build: Builder) -> None:
    texts = {
        "us-ascii": "Solo ASCII.\n",
        "iso-8859-1": "Perché così? È già più in là.\n",
        "iso-8859-15": "50 € e perché.\n",
        "utf-8": ITALIAN + "日本語 русский עברית\n",
        "windows-1252": "“Virgolette” – 50 €\n",
        "koi8-r": "Русский текст\n",
        "iso-2022-jp": "日本語の本文です。\n",
        "shift_jis": "日本語\n",
        "gb2312": "中文\n",
        "big5": "中文\n",
        "euc-kr": "한국어\n",
        "utf-16": "UTF-16 città\n",
    }
    for charset, text in texts.items():
        octets = (text * build.dice.randint(1, 40)).encode(charset)
        build.add(
            f"text in {charset}, base64",
            build.head() + mime(b"text/plain; charset=" + charset.encode(), b"base64") + b"\r\n" + base64_lines(octets),
        )
        if charset not in ("utf-16",):
            quoted = crlf(quopri.encodestring(octets))
            build.add(
                f"text in {charset}, quoted-printable",
                build.head() + mime(b"text/plain; charset=" + charset.encode(), b"quoted-printable") + b"\r\n" + quoted,
            )
    for encoding in (b"7bit", b"8bit", b"binary", b"7BIT", b"x-uuencode", b"unknown-encoding"):
        build.add(f"encoding said to be {encoding.decode()}", build.head() + mime(b"text/plain", encoding) + b"\r\n" + build.lines(5))
    octets = build.dice.randbytes(2000)
    rows = b"".join(binascii.b2a_uu(octets[at : at + 45]).replace(b"\n", b"\r\n") for at in range(0, len(octets), 45))
    build.add("uuencode in the text", build.head() + b"\r\nEcco:\r\n\r\nbegin 644 dati.bin\r\n" + rows + b"`\r\nend\r\n")
    build.add("no MIME fields at all", build.head() + b"\r\n" + build.lines(20))
    build.add("iso-2022-jp escapes without a declaration", build.head() + b"\r\n\x1b$BF|K\\\x1b(B\r\n")


def nestings(build: Builder) -> None:
    for subtype in (b"mixed", b"alternative", b"related", b"digest", b"parallel", b"report", b"form-data", b"encrypted", b"x-mai-vista"):
        parts = [PLAIN, b"\r\nsenza campi\r\n", b"Content-Type: text/html\r\n\r\n<p>ciao</p>\r\n"]
        build.add(
            f"multipart/{subtype.decode()}",
            build.head() + b"MIME-Version: 1.0\r\n" + multipart(subtype, b"b1", parts, b"Preambolo\r\n", b"Epilogo\r\n"),
        )
    for depth in (2, 5, 10, 20, 30):
        entity = PLAIN
        for level in range(depth):
            entity = multipart(b"mixed", b"livello-%02d" % level, [PLAIN, entity])
        build.add(f"multiparts {depth} deep", build.head() + b"MIME-Version: 1.0\r\n" + entity)
        message = build.head() + b"\r\nil piu' interno\r\n"
        for level in range(depth):
            message = build.head(b"livello %d" % level) + b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + message
        build.add(f"message/rfc822 {depth} deep", message)
    inner = b"From: x@y.example.test\r\nMessage-ID: <interno@x>\r\nX-Ricevuta: accettazione\r\n\r\nciao\r\n"
    build.add("digest of messages", build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"digest", b"dd", [b"\r\n" + inner] * 5))
    build.add("partial message", build.head() + mime(b'message/partial; id="a@b"; number=1; total=2') + b"\r\n" + inner)
    build.add(
        "external body",
        build.head() + mime(b"message/external-body; access-type=local-file; name=x") + b"\r\nContent-Type: text/plain\r\n\r\n",
    )
    build.add(
        "delivery status",
        build.head()
        + b"MIME-Version: 1.0\r\n"
        + multipart(
            b"report; report-type=delivery-status",
            b"r",
            [PLAIN, b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n"],
        ),
    )


def envelopes(build: Builder) -> None:
    """Signed originals, and PEC messages passed on inside."""
    pkcs7 = base64_lines(build.dice.randbytes(1500))
    signature = (
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n' + pkcs7
    )
    signed = (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="S1"\r\n\r\n'
        b"This is an S/MIME signed message\r\n\r\n--S1\r\n" + PLAIN + b"\r\n--S1\r\n" + signature + b"\r\n--S1--\r\n"
    )
    build.add("original signed by its author (S/MIME)", build.head() + b"MIME-Version: 1.0\r\n" + signed)
    build.add(
        "opaque S/MIME",
        build.head() + mime(b'application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"', b"base64") + b"\r\n" + pkcs7,
    )
    pgp = b"Content-Type: application/pgp-signature\r\n\r\n"
    pgp += b"-----BEGIN PGP SIGNATURE-----\r\n\r\nAAAA\r\n=AAAA\r\n-----END PGP SIGNATURE-----\r\n"
    build.add(
        "original signed by PGP/MIME",
        build.head() + b"MIME-Version: 1.0\r\n" + multipart(b'signed; protocol="application/pgp-signature"', b"pgp", [PLAIN, pgp]),
    )
    build.add(
        "PGP in the text, dashes escaped",
        build.head() + b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n- --S1\r\n- -- \r\n.\r\n-----END\r\n",
    )
    daticert = b'Content-Type: application/xml; name="daticert.xml"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + base64_lines(
        b"<postacert/>"
    )
    postacert = b'Content-Type: message/rfc822; name="postacert.eml"\r\n\r\n'
    postacert += b"Message-ID: <vecchio@pec.gamma.test>\r\nX-Riferimento-Message-ID: <x@y>\r\n\r\nciao\r\n"
    mixed = multipart(b"mixed", b"M1", [b"Content-Type: text/plain\r\n\r\nMessaggio di posta certificata\r\n", daticert, postacert])
    old = (
        b"X-Trasporto: posta-certificata\r\n"
        b"X-Riferimento-Message-ID: <vecchio@client>\r\nMessage-ID: <vecchio@pec.gamma.test>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg="sha-256"; boundary="S1"\r\n\r\n'
        b"This is an S/MIME signed message\r\n\r\n--S1\r\n" + mixed + b"\r\n--S1\r\n" + signature + b"\r\n--S1--\r\n"
    )
    build.add(
        "PEC envelope passed on as attachment",
        build.head(b"I: POSTA CERTIFICATA: Atto")
        + b"MIME-Version: 1.0\r\n"
        + multipart(b"mixed", b"fw", [PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + old]),
    )
    build.add("PEC envelope passed on as the whole body", build.head() + b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + old)
    build.add("PEC envelope's fields in the outer header", build.head(identifier=None) + old, subject="Prova")
    build.add("postacert.eml and daticert.xml as the user's own attachments", build.head() + b"MIME-Version: 1.0\r\n" + mixed)


def bodies(build: Builder) -> None:
    plain = {
        "empty": b"",
        "one CRLF": b"\r\n",
        "many CRLFs": b"\r\n" * 50,
        "one letter, no CRLF": b"x",
        "no final CRLF": b"prima\r\nseconda",
        "a single dot": b".\r\n",
        "two dots": b"..\r\n",
        "dots everywhere": b"".join(b"." * n + b"\r\n" for n in range(12)),
        "a dot at the end, no CRLF": b"fine\r\n.",
        "CRLF dot CRLF within": b"a\r\n.\r\nb\r\n",
        "commands after a dot": b"a\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\n",
        "trailing white space": b"a \r\nb\t\r\n \r\n\t\r\n  c  \r\n",
        "tabs": b"\ta\tb\t\r\n" * 20,
        "form feeds and bells": b"a\x0cb\x07c\x1b[0m\x01\x7f\r\n",
        "From lines": b"From qualcuno\r\n>From altri\r\nFrom: io\r\n",
        "lines of 998": (b"x" * 998 + b"\r\n") * 8,
        "one line of 998, no CRLF": b"y" * 998,
        "a line of 998 that begins with a dot": b"." + b"z" * 997 + b"\r\n",
        "lines of 997 and 998": (b"a" * 997 + b"\r\n" + b"b" * 998 + b"\r\n") * 3,
        "lines like boundaries": b"--\r\n----\r\n--S1\r\n--S1--\r\n--M1\r\n------=_Part_0\r\n--ceralacca\r\n--=_\r\n" * 3,
        "lines like header fields": b"Message-ID: <nel.corpo@x>\r\nX-Riferimento-Message-ID: <corpo@x>\r\nSubject: corpo\r\n",
        "soft line breaks": b"a=\r\n=\r\n==3D\r\n",
        "a signature's dashes": b"-- \r\nAnna\r\n",
    }
    for name, body in plain.items():
        build.add(f"body: {name}", build.head() + b"\r\n" + body)
    build.add("header only, no empty line", build.head())
    build.add("header only, its last field folded", build.head() + b"X-Ultimo: a\r\n b\r\n")
    build.add("empty body after MIME fields", build.head() + mime(b"text/plain") + b"\r\n")


def subjects(build: Builder) -> None:
    def add(name: str, value: bytes | None, decoded: object = ...) -> None:
        build.add(f"subject: {name}", build.head(value) + b"\r\nciao\r\n", subject=decoded)

    words = {
        "utf-8": "Città è più",
        "iso-8859-1": "Perché è così",
        "iso-8859-15": "Prezzo 5 €",
        "windows-1252": "“Atto” – n. 5",
        "koi8-r": "Договор",
        "windows-1251": "Договор",
        "iso-2022-jp": "契約書",
        "shift_jis": "契約書",
        "euc-jp": "契約書",
        "gb2312": "合同",
        "gb18030": "合同",
        "big5": "合約",
        "euc-kr": "계약서",
        "iso-8859-2": "Žádost",
        "iso-8859-7": "Σύμβαση",
        "iso-8859-8": "חוזה",
        "windows-1256": "عقد",
        "utf-16be": "Città",
    }
    for charset, text in words.items():
        octets = text.encode(charset)
        for kind, coded in (("B", base64.b64encode(octets)), ("Q", b"".join(b"=%02X" % octet for octet in octets))):
            add(f"{charset} by {kind}", b"=?%s?%s?%s?=" % (charset.encode(), kind.encode(), coded), text)
    add("absent", None, None)
    add("empty", b"", "")
    build.add("subject: field without even a space", build.head(None) + b"Subject:\r\n\r\nciao\r\n", subject="")
    add("only spaces", b"    ", "")
    add("folded with a tab", b"Una\r\n\triga lunga", "Una riga lunga")  # a tab is shown as a space
    add("folded after the name", b"\r\n Sulla seconda riga", "Sulla seconda riga")
    add("900 characters on one line", b"x" * 900, "x" * 900)
    add("900 characters folded", b"\r\n ".join([b"parola" * 5] * 30), " ".join(["parola" * 5] * 30))
    add("989 characters, the most a line holds", b"y" * 989, "y" * 989)
    add("80 encoded words", b"\r\n ".join(b"=?utf-8?B?" + base64.b64encode("però".encode()) + b"?=" for _ in range(80)), "però" * 80)
    add("a character cut between two words", b"=?utf-8?B?w6jD?= =?utf-8?B?qA==?=", "èè")
    add("words and text mixed", b"Atto =?utf-8?Q?citt=C3=A0?= n. 5 =?iso-8859-1?Q?=E8?=", "Atto città n. 5 è")
    add("underscores and question marks in Q", b"=?utf-8?Q?a_b=3F=5F?=", "a b?_")
    add("language tag (RFC 2231)", b"=?utf-8*it?Q?per=C3=B2?=", "però")
    add("lower case b", b"=?UTF-8?b?w6g=?=", "è")
    add("unknown charset", b"=?x-mai-visto?B?w6g=?=")
    add("broken base64", b"=?utf-8?B?w6g?= =?utf-8?B?!!!?=")
    add("broken word", b"=?utf-8?B? =?utf-8?")
    add("control characters inside a word", b"=?utf-8?Q?a=01b=00c=0D=0Ad=1B?=")
    add("line break inside a word (injection)", b"=?utf-8?Q?a=0D=0AX-Ricevuta:_accettazione?=")
    add("characters that XML escapes", b"<a href=\"x\">'&amp;' ]]> <!-- &#x0; %s %n", "<a href=\"x\">'&amp;' ]]> <!-- &#x0; %s %n")
    add("already certified", b"POSTA CERTIFICATA: POSTA CERTIFICATA: Atto", "POSTA CERTIFICATA: POSTA CERTIFICATA: Atto")
    add("quotes and backslashes", b'"Atto" \\"n. 5\\" \\', '"Atto" \\"n. 5\\" \\')
    add("emoji and combining accents", b"=?utf-8?B?" + base64.b64encode("📜 perche\u0301".encode()) + b"?=", "📜 perche\u0301")
    add("a lone surrogate, and beyond Unicode", b"=?utf-8?B?7aCA?= =?utf-8?B?9ICAgA==?=")
    build.add("subject: field name in other capitals", build.head(None) + b"SUBJECT: Maiuscolo\r\n\r\nciao\r\n", subject="Maiuscolo")


def addresses(build: Builder) -> None:
    def add(name: str, to: bytes, recipients=None, cc: bytes | None = None, from_: bytes = ANNA.encode()) -> None:
        """`to` holds %s where the case's own address goes."""
        build.add(
            f"addresses: {name}", build.head(to=to.replace(b"%s", build.address.encode()), cc=cc, from_=from_) + b"\r\nciao\r\n", recipients
        )

    anna = ANNA.encode()
    add("group with members", b"Uffici: %s, altro@posta.example.test;")
    add("group and a single one", b"Amici:;, %s")
    add("comments", b"(un (doppio) commento) %s (fine)")
    add("comment inside an address", b"Ufficio <%s> (sportello \\) 5)")
    add("quoted display name", b'"Ufficio, sportello 5 <x@y>" <%s>')
    add("quoted pairs", b'"Uff \\"A\\" \\\\" <%s>')
    add("encoded display name", b"=?utf-8?Q?Citt=C3=A0?= <%s>")
    add("several words", b"Ufficio Protocollo del Comune <%s>")
    add("dots in a display name (obsolete)", b"Dott. A. Rossi <%s>")
    add("empty members of the list (obsolete)", b", %s, ,")
    add("source route (obsolete)", b"<@a.example.test,@b.example.test:%s>")
    add("folded list", b"uno@posta.example.test,\r\n due@posta.example.test,\r\n\t%s")
    add("space and tabs around", b" \t %s \t ")
    add("address in Cc", b"altro@posta.example.test", cc=build.address.encode())
    add("both in To and Cc", b"%s", cc=b"Copia <copia@posta.example.test>", recipients=["copia@posta.example.test"])
    add("quoted local part", b'%s, "a b"@posta.example.test', recipients=['"a b"@posta.example.test'])
    add(
        "special characters in the local part",
        b"%s, a!#$%&'*+-/=?^_`{|}~b@posta.example.test",
        recipients=["a!#$%&'*+-/=?^_`{|}~b@posta.example.test"],
    )
    add("case differs between RCPT and To", b"%s, ALTRO@Posta.Example.Test", recipients=["altro@posta.example.test"])
    add("domain of another alphabet (A-labels)", b"%s, x@xn--citt-2na.example.test", recipients=["x@xn--citt-2na.example.test"])
    add("300 in To, one meant", b"%s, " + b",\r\n ".join(b"n%d@posta.example.test" % n for n in range(300)))
    add("undisclosed group beside", b"%s", cc=b"undisclosed-recipients:;")
    add("From with a name", b"%s", from_=b'"Anna Rossi" <' + anna + b">")
    add("From with a comment", b"%s", from_=anna + b" (Anna)")
    add("From in other capitals", b"%s", from_=b"Anna <ANNA@PEC.ALFA.TEST>")
    add("From folded", b"%s", from_=b"Anna\r\n <" + anna + b">")
    add("From encoded", b"%s", from_=b"=?iso-8859-1?Q?Ann=E0?=\r\n <" + anna + b">")
    add("To of 64 characters before the at", b"%s, " + b"l" * 64 + b"@posta.example.test", recipients=["l" * 64 + "@posta.example.test"])
    add("domain literal", b"%s, utente@[127.0.0.1]")
    add("certified and ordinary", b"%s, ufficio@pec.gamma.test", recipients=["ufficio@pec.gamma.test"])
    add("subdomain of a certified one is ordinary", b"%s, ufficio@sub.pec.gamma.test", recipients=["ufficio@sub.pec.gamma.test"])


def fields(build: Builder) -> None:
    def add(name: str, extra: bytes, **given) -> None:
        build.add(f"fields: {name}", build.head(**given) + extra + b"\r\nciao\r\n")

    for value in (b"completa", b"breve", b"sintetica", b"BREVE", b" Sintetica ", b"complet", b""):
        add(f"X-TipoRicevuta {value!r}", b"X-TipoRicevuta: " + value + b"\r\n")
    add("X-Tiporicevuta in small letters", b"x-tiporicevuta: breve\r\n")
    add("X-Ricevuta by the user", b"X-Ricevuta: accettazione\r\n")
    add("X-Trasporto by the user", b"X-Trasporto: posta-certificata\r\n")
    add(
        "all system fields by the user",
        b"X-Ricevuta: avvenuta-consegna\r\nX-Trasporto: errore\r\nX-Mittente: x@y\r\nX-VerificaSicurezza: errore\r\n",
    )
    add("X-Riferimento-Message-ID by the user", b"X-Riferimento-Message-ID: <finto@altrove>\r\n")
    add(
        "X-Riferimento-Message-ID twice, folded, in capitals",
        b"X-RIFERIMENTO-MESSAGE-ID:\r\n <finto@a>\r\nX-Riferimento-Message-ID: <due@a>\r\n",
    )
    add("X-Riferimento-Message-ID without Message-ID", b"X-Riferimento-Message-ID: <finto@altrove>\r\n", identifier=None)
    add("no Message-ID", b"", identifier=None)
    add("Message-ID in small letters", b"message-id: <minuscolo@client>\r\n", identifier=None)
    add("Message-ID folded", b"Message-ID:\r\n <piegato@client>\r\n", identifier=None)
    add("Message-ID with comment", b"Message-ID: <c@client> (commento)\r\n", identifier=None)
    add("Message-ID in the middle", b"Message-ID: <in.mezzo@client>\r\nX-Dopo: 1\r\nReferences: <a@b>\r\n\t<c@d>\r\n", identifier=None)
    build.add("fields: Message-ID first", b"Message-ID: <primo@client>\r\n" + build.head(identifier=None) + b"\r\nciao\r\n")
    add("Message-ID with XML's characters", b"Message-ID: <a&b\"c'd@client>\r\n", identifier=None)
    add("Message-ID of 900 characters", b"Message-ID: <" + b"m" * 900 + b"@client>\r\n", identifier=None)
    add("no Date", b"", date=b"")
    add("Date in the obsolete form", b"", date=b"Date: 10 Mar 26 09:14 GMT (commento)\r\n")
    add("Date that is none", b"", date=b"Date: domani\r\n")
    add("Reply-To", b"Reply-To: altra@posta.example.test\r\n")
    add("Reply-To with a name", b'Reply-To: "Anna, ufficio" <altra@posta.example.test>\r\n')
    add("Reply-To with several", b"Reply-To: a@posta.example.test,\r\n b@posta.example.test\r\n")
    add("Return-Path by the user", b"Return-Path: <anna@pec.alfa.test>\r\n")
    received = b"Received: from a (b [127.0.0.1])\r\n\tby c with ESMTPSA id %d;\r\n\tTue, 10 Mar 2026 09:14:59 +0100 (CET)\r\n"
    build.add("fields: one Received", received % 1 + build.head() + b"\r\nciao\r\n")
    build.add("fields: 30 Received", b"".join(received % number for number in range(30)) + build.head() + b"\r\nciao\r\n")
    add("Sender differs", b"Sender: segretaria@posta.example.test\r\n")
    add("empty Bcc", b"Bcc:\r\n")
    add("Bcc of white space", b"Bcc: \t \r\n")
    add(
        "DKIM signature", b"DKIM-Signature: v=1; a=rsa-sha256; d=x;\r\n\th=from:to:subject:message-id;\r\n\tbh=AAAA=; b=AAAA\r\n BBBB==\r\n"
    )
    add(
        "mailing list's and resent fields",
        b"List-Id: <x.y>\r\nResent-From: z@posta.example.test\r\nResent-Date: Tue, 10 Mar 2026 09:14:58 +0100\r\nPrecedence: bulk\r\n",
    )
    add(
        "disposition and status requests",
        b"Disposition-Notification-To: " + ANNA.encode() + b"\r\nReturn-Receipt-To: " + ANNA.encode() + b"\r\nX-Priority: 1\r\n",
    )
    add("a header of 200 KB", b"".join(b"X-Lungo-%d: %s\r\n" % (number, b"v" * 900) for number in range(220)))
    add("1,500 fields", b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(1500)))
    add("one field folded over 300 lines", b"X-Piegato: a\r\n" + b" riga\r\n" * 300)
    add("a field line of 998", b"X-Largo: " + b"v" * 989 + b"\r\n")
    add("empty values", b"X-Vuoto:\r\nX-Spazio: \r\nComments:\r\n\t\r\n")
    add("field names of every character", b"!#$%&'*+-.^_`|~09azAZ()<>@,;\\\"/[]?={}: strano\r\n")
    add("no space after colons", b"X-A:1\r\nX-B:\t2\r\n")


def shapes(build: Builder) -> None:
    """MIME that is unusual, broken or large."""
    parts = [b"Content-Type: text/plain\r\n\r\nparte %d\r\n" % number for number in range(1000)]
    build.add("1000 parts", build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"mixed", b"mille", parts))
    build.add("no closing delimiter", build.head() + mime(b"multipart/mixed; boundary=aperto") + b"\r\n--aperto\r\n" + PLAIN)
    build.add("multipart without a boundary", build.head() + mime(b"multipart/mixed") + b"\r\n--x\r\n" + PLAIN + b"--x--\r\n")
    build.add("multipart without parts", build.head() + mime(b"multipart/mixed; boundary=mai") + b"\r\nniente\r\n")
    build.add(
        "boundary with every allowed character",
        build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"mixed", b"a'()+_,-./:=? b", [PLAIN, PLAIN]),
    )
    build.add("boundary of 70 characters", build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"mixed", b"b" * 70, [PLAIN]))
    build.add(
        "one boundary begins like the other",
        build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"mixed", b"ab", [multipart(b"mixed", b"abc", [PLAIN])]),
    )
    build.add(
        "white space after delimiters",
        build.head() + mime(b"multipart/mixed; boundary=w") + b"\r\n--w  \t\r\n" + PLAIN + b"\r\n--w--  \r\n",
    )
    build.add("bad base64", build.head() + mime(b"application/pdf", b"base64") + b"\r\n!!!! %%% =====\r\nAAA\r\n")
    build.add("garbage as Content-Type", build.head() + mime(b'/;;="') + b"\r\nciao\r\n")
    build.add(
        "RFC 2231 parameters",
        build.head() + mime(b"text/plain; name*0*=utf-8''citt%C3%A0;\r\n name*1=\" due\"; charset=us-ascii") + b"\r\nciao\r\n",
    )
    build.add(
        "attachment names in odd forms",
        build.head()
        + b"MIME-Version: 1.0\r\n"
        + multipart(
            b"mixed",
            b"n",
            [
                b'Content-Type: application/pdf; name="=?utf-8?Q?citt=C3=A0.pdf?="\r\n'
                b"Content-Disposition: attachment; filename=a b.pdf\r\n\r\nx\r\n",
                b'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="../../etc/passwd"\r\n\r\nx\r\n',
            ],
        ),
    )
    build.add(
        "parts without a body",
        build.head() + b"MIME-Version: 1.0\r\n" + multipart(b"mixed", b"v", [b"", b"\r\n", b"Content-Type: text/plain\r\n"]),
    )
    build.add(
        "delimiters next to one another", build.head() + mime(b"multipart/mixed; boundary=q") + b"\r\n--q\r\n--q\r\n--q--\r\n--q--\r\n"
    )
    for size in (64 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 2**20, 2**20 + 1, 5 * 2**20):
        attachment = base64_lines(build.dice.randbytes(size * 73 // 100))
        build.add(
            f"attachment of about {size} octets",
            build.head()
            + b"MIME-Version: 1.0\r\n"
            + multipart(
                b"mixed",
                b"grande",
                [PLAIN, b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + attachment],
            ),
        )
    head = build.head() + mime(b"application/octet-stream", b"base64") + b"\r\n"
    attachment = base64_lines(build.dice.randbytes(22 * 10**6 + 10**5))
    build.add("30 MB", head + attachment[: 30 * 10**6 - len(head) - 2].rstrip(b"\r\n") + b"\r\n")


def mixtures(build: Builder, count: int) -> None:
    """Messages thrown together at random."""
    dice = build.dice
    for number in range(count):
        references = b"References: <%x@r>\r\n" % dice.getrandbits(64)
        extra = b"".join(
            dice.choice(
                [
                    b"X-Mailer: prova 1.%d\r\n" % dice.randrange(99),
                    b"X-TipoRicevuta: breve\r\n",
                    b"Comments: " + build.words(20) + b"\r\n " + build.words(9) + b"\r\n",
                    b"Keywords: a,\r\n\tb\r\n",
                    b"X-Ricevuta: x\r\n",
                    references,
                ]
            )
            for _ in range(dice.randrange(8))
        )
        for name in (b"X-TipoRicevuta: breve\r\n", references):
            extra = extra.replace(name, b"", max(0, extra.count(name) - 1))

        def entity(depth: int) -> bytes:
            choice = dice.randrange(5 if depth else 3)
            if choice == 0:
                return b"Content-Type: text/plain\r\n\r\n" + build.lines(dice.randrange(30))
            if choice == 1:
                return b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64_lines(
                    dice.randbytes(dice.randrange(20000))
                )
            if choice == 2:
                return (
                    b"Content-Type: text/plain\r\n\r\n" + dice.choice([b".", b"--", b"..\r\n.", b" ", b"-"]) * dice.randrange(40) + b"\r\n"
                )
            boundary = b"m%06x" % dice.getrandbits(24)
            return multipart(
                dice.choice([b"mixed", b"alternative", b"related"]), boundary, [entity(depth - 1) for _ in range(dice.randrange(1, 5))]
            )

        fields_first = bool(dice.randrange(2))
        identifier = None if dice.randrange(6) == 0 else ...
        head = build.head(b"Misto " + build.words(3), identifier=identifier)
        octets = (extra + head if fields_first else head + extra) + b"MIME-Version: 1.0\r\n" + entity(4)
        if dice.randrange(4) == 0 and b"\r\n\r\n" in octets.rstrip(b"\r\n"):
            octets = octets.rstrip(b"\r\n") + b"x"
        build.add(f"mixture {number}", octets)


#: In the order of the corpus.
FAMILIES = (encodings, nestings, envelopes, bodies, subjects, addresses, fields, shapes)
