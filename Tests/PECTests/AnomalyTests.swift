import Limits
import MIMEStream
import Octets
import Testing

@testable import PEC

/// Anomaly envelopes (pec-rules 2.2, 2.3 T8): what could not be certified, whole, in a message that is well-formed whatever it holds.
@Suite struct AnomalyTests {
  private let composer = Composer(provider: beta)
  private static let reason = "la firma digitale del messaggio non risulta attendibile"

  private func anomaly(
    _ received: [UInt8], reversePath: String = "mario@posta.example", to recipients: [String] = ["ufficio@pec.beta.example"],
    reasons: [String] = [Self.reason], seed: UInt64 = 1
  ) -> Draft {
    composer.anomaly(
      Original(received).facts, id: receptionID, reversePath: reversePath, recipients: recipients, reasons: reasons,
      trace: Composer.receivedLine(
        from: "192.0.2.9", helo: "mail.posta.example", by: "mx.gestore-beta.example", protocolName: "ESMTPS", id: receptionID,
        at: exampleInstant), at: exampleInstant, boundarySeed: seed)
  }

  private static let ordinary = """
    Return-Path: <mario@posta.example>
    Received: from pc by mail.posta.example; Tue, 10 Mar 2026 09:14:00 +0100
    Message-ID: <abc@posta.example>
    Date: Tue, 10 Mar 2026 09:14:00 +0100
    From: "Mario Bianchi" <mario@posta.example>
    To: ufficio@pec.beta.example,
     altri@pec.beta.example
    Cc: anna.rossi@pec.alfa.example
    Subject: POSTA CERTIFICATA: =?utf-8?q?perch=C3=A9?=
    X-Trasporto: posta-certificata
    X-Ricevuta: accettazione
    In-Reply-To: <x@y>

    Ciao.

    """

  @Test func ordinaryMail() throws {
    let received = wire(Self.ordinary)
    let draft = anomaly(
      received, to: ["ufficio@pec.beta.example", "altri@pec.beta.example"],
      reasons: [Self.reason, "domino mittente non di posta certificata"], seed: 0x0123_4567_89AB_CDEF)
    #expect(draft.kind == .anomaly && draft.messageID == "abc@posta.example" && draft.sender == "mario@posta.example")
    #expect(draft.recipients == ["ufficio@pec.beta.example", "altri@pec.beta.example"] && draft.originalRange == nil)
    expectEqual(assemble(draft, original: received), try fixture("anomaly.eml"), "anomaly.eml")
    #expect(PECMessage(MessageWalker.facts(of: assemble(draft, original: received))).nature == .anomalyEnvelope)
  }

  /// A report with the null path, in eight bits, without From, Message-ID and To.
  @Test func eightBit() throws {
    let received = wire("Subject: Perché\nContent-Type: text/plain; charset=utf-8\n\nNon è stato consegnato.\n")
    let draft = anomaly(received, reversePath: "", seed: 0x0123_4567_89AB_CDEF)
    #expect(draft.messageID == receptionID && draft.sender == "")
    expectEqual(assemble(draft, original: received), try fixture("anomaly-eight-bit.eml"), "anomaly-eight-bit.eml")
  }

  /// The whole message as received, and none other part (RFC 6109 §3.2.2).
  @Test(arguments: [ordinary, "", "\n", "x", "Subject: a", "--=_ceralacca_M\n\n--=_ceralacca_M--\n", "no header at all\n\nFrom x\n.\n"])
  func wholeMessage(source: String) throws {
    let received = wire(source)
    let draft = anomaly(received)
    let message = assemble(draft, original: received)
    let facts = MessageWalker.facts(of: message)
    let read = PECMessage(facts)
    let part = try #require(read.originalPart)
    expectEqual(Array(message[part.bodyRange]), received, String(reflecting: source))
    #expect(read.certificationPart == nil && read.from?.address == beta.serviceAddress)
    let inner = facts.parts.filter { $0.parent == 1 }
    #expect(inner.map(\.type) == ["text/plain", "message/rfc822"])
  }

  /// What a header brings, and what of it stands outside.
  @Test(
    arguments: [
      ("To: a@b\n", "To", "a@b"), ("To: Perché <a@b>\n", "To", "=?UTF-8?Q?Perch=C3=A9?= <a@b>"), ("Cc: a\u{1}b@c\n", "Cc", "ab@c"),
      ("Reply-To: r@s\n", "Reply-To", "r@s"), ("From: Uno <u@v>\n", "Reply-To", "u@v"),
      ("From: a@b, c@d\n", "Reply-To", "mario@posta.example"),
      ("From: Uno <u@v>\n", "From", "\"Per conto di: u@v\" <posta-certificata@gestore-beta.example>"),
      ("From: \"a\\\"b\"@v\n", "From", "\"Per conto di: \\\"a\\\\\\\"b\\\"@v\" <posta-certificata@gestore-beta.example>"),
      ("Message-ID: <a@b>\n", "Message-ID", "<a@b>"), ("Message-ID: senza\n", "Message-ID", "senza"),
      ("Message-ID:\n <a@\n b>\n", "Message-ID", "<a@ b>"), ("Message-ID: \n", "Message-ID", "<\(receptionID)>"),
      ("Message-ID: <è>\n", "Message-ID", "<??>"), ("Subject:\n", "Subject", "ANOMALIA MESSAGGIO:"),
      ("Subject: ANOMALIA MESSAGGIO: x\n", "Subject", "ANOMALIA MESSAGGIO: ANOMALIA MESSAGGIO: x"),
      ("X-Riferimento-Message-ID: <a@b>\n", "X-Riferimento-Message-ID", nil), ("X-Ricevuta: accettazione\n", "X-Ricevuta", nil),
      ("X-TipoRicevuta: breve\n", "X-TipoRicevuta", nil), ("Bcc: a@b\n", "Bcc", nil),
    ] as [(String, String, String?)])
  func outerHeader(lines: String, name: String, value: String?) throws {
    let received = wire(lines + "\nx\n")
    let message = assemble(anomaly(received), original: received)
    let facts = MessageWalker.facts(of: message)
    let fields = facts.header.fields(named: name)
    #expect(fields.map { text(facts.header.value(of: $0)) } == (value.map { [$0] } ?? []))
    #expect(facts.flags.isDisjoint(with: [.eightBitHeader, .nulOctet, .lineTooLong, .malformedHeaderLine, .doubledStructuralHeader]))
  }

  @Test func longAndHostile() throws {
    let long = String(repeating: "a", count: 3000)
    let received = wire("To: \(long)\nMessage-ID: <\(long)>\nSubject: \(long)\nReceived: \(long)\u{0}\nFrom: \(long)@x\n\nx\n")
    let draft = anomaly(received, to: [long], reasons: ["a\r\n.\r\n--x", ""])
    let facts = MessageWalker.facts(of: draft.head)
    #expect(facts.flags.isDisjoint(with: [.nulOctet, .bareLineFeed, .bareCarriageReturn, .malformedHeaderLine]), "\(facts.flags.names)")
    #expect(facts.header.fields(named: "X-Trasporto").count == 1)
    #expect(draft.messageID.utf8.count < 1000)
  }

  @Test func boundariesAvoidTheMessage() throws {
    let free = Boundaries(seed: 9, kind: .anomaly, avoiding: [])
    let received = wire("From: a@b\n\n") + Array("--".utf8) + free.mixed + Array("--\r\n--".utf8) + free.signed + Array("\r\n".utf8)
    let message = assemble(anomaly(received, seed: 9), original: received)
    let part = try #require(PECMessage(MessageWalker.facts(of: message)).originalPart)
    expectEqual(Array(message[part.bodyRange]), received, "postacert.eml")
  }
}
