import Limits
import MIMEViews
import Octets
import Testing

/// An ordinary message, as clients and providers write them every day.
struct Ordinary: Sendable, CustomTestStringConvertible {
  var name: String
  var message: String

  var testDescription: String { name }

  private static let version = "MIME-Version: 1.0\n"
  private static let text = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nCosì è, se vi pare.\n\n-- \nAnna\n"
  private static let html =
    "Content-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n<p>Cos=C3=AC =C3=A8, se vi=\n pare.</p>\n"
  private static let bytes = (0..<600).map { UInt8(truncatingIfNeeded: $0 &* 97 &+ 200) }
  private static let pdf =
    "Content-Type: application/pdf; name=\"conto (1).pdf\"\nContent-Transfer-Encoding: base64\n"
    + "Content-Disposition: attachment; filename=\"conto (1).pdf\"\n\n" + base64(Array("%PDF-1.7\n".utf8) + bytes)
  private static let png =
    "Content-Type: image/png; name=\"logo.png\"\nContent-Transfer-Encoding: base64\nContent-ID: <logo@alfa.example.test>\n"
    + "Content-Disposition: inline; filename=\"logo.png\"\n\n" + base64([0x89, 0x50, 0x4e, 0x47] + bytes, width: 72)
  private static let signature =
    "Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n"
    + "Content-Disposition: attachment; filename=\"smime.p7s\"\n\n" + base64([0x30, 0x82, 0x01, 0x00] + bytes, width: 64)
  private static let inner = Tricks.header + version + text
  private static let attached =
    "Content-Type: message/rfc822; name=postacert.eml\nContent-Disposition: inline; filename=postacert.eml\n\n" + inner

  private static func whole(_ name: String, _ mime: String, isMIME: Bool = true) -> Ordinary {
    Ordinary(name: name, message: Tricks.header + (isMIME ? version : "") + mime)
  }

  private static func part(_ subtype: String, _ boundary: String, _ parts: [String], extra: String = "", preamble: String = "") -> String {
    "Content-Type: multipart/\(subtype);\n boundary=\"\(boundary)\"\(extra)\n\n" + preamble
      + parts.map { "--\(boundary)\n\($0)\n" }.joined() + "--\(boundary)--\n"
  }

  private static let alternative = part("alternative", "000000000000abcd", [text, html])
  private static let related = part("related", "_004_AM0", [html, png], extra: ";\n type=\"text/html\"")

  static let all: [Ordinary] = singles + multiparts + names

  private static let singles: [Ordinary] = [
    whole("no MIME at all", "\nCiao.\n", isMIME: false), whole("no body", "", isMIME: false), whole("empty body", "\n", isMIME: false),
    whole("7bit", "Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\nCiao.\n"), whole("8bit", text),
    whole("capitals", "CONTENT-TYPE: TEXT/PLAIN; CHARSET=US-ASCII\nCONTENT-TRANSFER-ENCODING: 7BIT\n\nCiao.\n"),
    whole("flowed", "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\n\nCiao \na tutti.\n> prima\n"),
    whole("html", html),
    whole("text in base64", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + base64(bytes)),
    whole("quoted-printable", "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n=46rom me=20\n1=3D1=\n\n"),
    whole("a comment in the version", text).replacing(version, "MIME-Version: 1.0 (Mac OS X Mail 16.0 \\(3774.100\\))\n"),
    whole("rules and lists", "Content-Type: text/plain\n\n-----Original Message-----\n- uno\n-- due\n--\n________\n(vedi pagina - 2)\n"),
    whole("a pdf alone", pdf),
    whole("long header lines", "References: " + String(repeating: "<a@b.example.test>\n\t", count: 60) + "<c@d>\n" + text),
    whole("trace and list fields", "Received: by a; x\nDKIM-Signature: v=1; a=rsa-sha256;\n\tb=abc=\nList-Id: <x>\n" + text),
    whole("many languages", "Content-Language: it-IT\nContent-Class: urn:content-classes:message\nX-Mailer: Posta (2.0)\n" + text),
    whole("calendar", "Content-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n"),
    whole(
      "invitation in quoted-printable",
      "Content-Type: text/calendar; method=REQUEST; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        + "BEGIN:VCALENDAR\nBEGIN:VEVENT\nATTENDEE;RSVP=3DTRUE:mailto:anna@alfa.example.test\nUID:0400\nEND:VEVENT\nEND:VCALENDAR\n"),
    whole("card", "Content-Type: text/vcard; name=anna.vcf\n\nBEGIN:VCARD\nVERSION:4.0\nFN:Anna\nEND:VCARD\n"),
  ]

  private static let multiparts: [Ordinary] = [
    whole("alternative", alternative), whole("mixed", part("mixed", "===============123==", [text, pdf])),
    whole("preamble", part("mixed", "------------xyz", [text, pdf], preamble: "This is a multi-part message in MIME format.\n\n")),
    whole("related", related), whole("mixed of related", part("mixed", "_005_AM0", [related, pdf])),
    whole("mixed of alternative", part("mixed", "b1_abc", [alternative, pdf, png])),
    whole("alternative of related", part("alternative", "Apple-Mail-1", [text, related])),
    whole("related of alternative", part("related", "=-outer", [alternative, png])),
    whole("attached message", part("mixed", "=_m", [text, attached])),
    whole("signed", part("signed", "----A1B2", [text, signature], extra: "; protocol=\"application/x-pkcs7-signature\"; micalg=sha-256")),
    whole(
      "certified",
      part(
        "signed", "----C3D4",
        [
          part(
            "mixed", "=_env",
            [
              alternative, "Content-Type: application/xml; name=daticert.xml\nContent-Transfer-Encoding: base64\n\n" + base64(bytes),
              attached,
            ]),
          signature,
        ], extra: "; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha256\"")),
    whole(
      "signed by PGP",
      part(
        "signed", "=_p1",
        [
          text, "Content-Type: application/pgp-signature; name=\"signature.asc\"\n\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n=ab\n-----END\n",
        ],
        extra: "; protocol=\"application/pgp-signature\"")),
    whole(
      "delivery report",
      part(
        "report", "rep", [text, "Content-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\nAction: failed\n", attached],
        extra: "; report-type=delivery-status")),
    whole(
      "read report",
      part(
        "report", "rep", [text, "Content-Type: message/disposition-notification\n\nDisposition: manual\n"],
        extra: "; report-type=disposition-notification")),
    whole(
      "message in message in message",
      part("mixed", "one", [text, "Content-Type: message/rfc822\n\n" + Tricks.header + version + part("mixed", "two", [text, attached])])),
    whole("empty lines behind", part("mixed", "=_x", [text, pdf]) + "\n\n"), whole("images", part("mixed", "=_i", [text, png, png, png])),
  ]

  private static let names: [Ordinary] = [
    "name=\"=?utf-8?B?Y29udG8ucGRm?=\"", "name*=utf-8''cont%C3%B2.pdf", "name*0=\"un nome molto lungo \";\n name*1=\"e anche di più.pdf\"",
    "name*0*=utf-8''un%20nome;\n name*1*=%20lungo.pdf", "name=conto.pdf", "name=\"a; b, c = d.pdf\"",
  ].map { name in
    whole(
      "a file with \(name)", part("mixed", "=_n", [text, pdf.replacing("name=\"conto (1).pdf\"\nContent-T", with: "\(name)\nContent-T")]))
  }

  private func replacing(_ old: String, _ new: String) -> Ordinary { Ordinary(name: name, message: message.replacing(old, with: new)) }
}

@Suite struct PlainTests {
  @Test func thereAreManyShapes() { #expect(Ordinary.all.count >= 30) }

  @Test(arguments: Ordinary.all) func ordinaryMailIsLeftAlone(_ ordinary: Ordinary) {
    let (plan, views) = views(of: crlf(ordinary.message))
    #expect(plan == ViewPlan(isPlain: true, isBeyondLimits: false))
    #expect(views.isEmpty)
  }

  @Test func withoutItsLastLineEndTextIsPlain() {
    let (plan, _) = views(of: crlf(Tricks.header + "\nCiao"))
    #expect(plan.isPlain)
  }

  @Test(arguments: [
    "\r\nCiao\n", "\r\nCiao\rciao\r\n", "\r\nCi\0ao\r\n", "\r\n" + String(repeating: "a", count: 999) + "\r\n", "\r\nCiao\r\r\n",
    "Content-Foo: x\r\n\r\n", "MIME-Version: 1.0\r\nMIME-Version: 1.0\r\n\r\n", "X-A: b\r\n\t\r\n\r\n", "\r\nbegin 644 x\r\n",
    "\r\n=ybegin\r\n",
    "\r\nContent-Type: text/html\r\n", "Content-Type: text/plain; charset=\"a\\b\"\r\n\r\n",
  ])
  func whateverIsOddIsNotPlain(_ rest: String) {
    let (plan, _) = views(of: crlf(Tricks.header) + rest)
    #expect(!plan.isPlain)
  }

  /// Cut anywhere, an ordinary message is never beyond limits and never a crash.
  @Test func everyTruncationIsTaken() throws {
    for ordinary in Ordinary.all {
      let bytes = Array(crlf(ordinary.message).utf8)
      for end in stride(from: 0, to: bytes.count, by: 61) {
        let (plan, found) = views(of: Array(bytes[..<end]))
        #expect(!plan.isBeyondLimits, "\(ordinary.name) at \(end): \(found.suffix(6).map(\.name))")
      }
    }
  }

  /// Random changes of ordinary messages and of tricks, and random octets: nothing traps, and the limits hold.
  @Test(arguments: 0..<8) func everySeedIsTaken(_ seed: UInt64) {
    var dice = SeededRandom(seed)
    let seeds = Tricks.all.map(\.message) + Ordinary.all.map { Array(crlf($0.message).utf8) }
    let fragments = ["--", "=", "\r\n", "\"", "begin 644 a\r\n", "=ybegin\r\n", ":", "(", "\u{0}", "MIA", "Content-Type: ", "`"].map {
      Array($0.utf8)
    }
    for message in seeds.shuffled(using: &dice).prefix(150) {
      var changed = message
      for _ in 0..<Int.random(in: 1...6, using: &dice) {
        let at = Int.random(in: 0..<changed.count, using: &dice)
        switch Int.random(in: 0..<4, using: &dice) {
        case 0: changed[at] = UInt8.random(in: 0...255, using: &dice)
        case 1: changed.insert(contentsOf: fragments.randomElement(using: &dice) ?? [], at: at)
        case 2: changed.removeSubrange(at..<min(changed.count, at + 5))
        default: changed.insert(contentsOf: changed[at..<min(changed.count, at + 60)], at: at)
        }
        if changed.isEmpty { changed = [13, 10] }
      }
      let (plan, views) = views(of: changed, maximumBytes: 1 << 20)
      #expect(views.reduce(0) { $0 + $1.octets.count } <= 1 << 20)
      #expect(!plan.isPlain || views.isEmpty)
    }
    let noise = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &dice) }
    #expect(!views(of: noise).plan.isPlain)
    _ = views(of: [0x30, 0x80] + noise)
  }
}
