import Limits
import MIMEStream
import Testing

@testable import PEC

/// The original inside of the envelope: the identifier lines replaced, and not one octet more (pec-rules 3.5).
@Suite struct OriginalTests {
  private let composer = Composer(provider: alfa)

  /// postacert.eml as the envelope of this message carries it.
  private func enclosed(_ original: [UInt8]) throws -> [UInt8] {
    let (submission, facts) = submit(original)
    let draft = composer.envelope(facts, original: submission.facts, boundarySeed: 11)
    let message = assemble(draft, original: original)
    let part = try #require(PECMessage(MessageWalker.facts(of: message)).originalPart)
    #expect(part.filename == "postacert.eml" && part.name == "postacert.eml" && part.transferEncoding == "7bit")
    return Array(message[part.bodyRange])
  }

  private static let ours = "Message-ID: <\(exampleID)>\n"
  private static let base = "From: a@b.example\nTo: c@d.example\n"

  /// Original and what becomes of it, both with LF.
  @Test(arguments: [
    (base + "\ntesto\n", base + ours + "\ntesto\n"),
    ("Message-ID: <x@y>\n" + base + "\ntesto\n", base + ours + "X-Riferimento-Message-ID: <x@y>\n\ntesto\n"),
    (base + "message-id :\n <x@y>\nSubject: s\n\ntesto\n", base + "Subject: s\n" + ours + "X-Riferimento-Message-ID: <x@y>\n\ntesto\n"),
    (base + "X-Riferimento-Message-ID: <falso@x>\n\ntesto\n", base + ours + "\ntesto\n"),
    (base + "x-riferimento-message-id: <falso@x>\nMESSAGE-ID: <x@y>\n\n", base + ours + "X-Riferimento-Message-ID: <x@y>\n\n"),
    // Every line of the two names goes, wherever it stands.
    (
      "X-Riferimento-Message-ID: 1\nMessage-ID: <a@b>\n" + base + "X-Riferimento-Message-ID: 2\n\tfolded\n\n.\n..\n",
      base + ours + "X-Riferimento-Message-ID: <a@b>\n\n.\n..\n"
    ),
    // No body: the empty line, or not even that.
    (base + "\n", base + ours + "\n"), (base, base + ours),
    (base + "Message-ID: <x@y>\n", base + ours + "X-Riferimento-Message-ID: <x@y>\n"),
    // Header lines with odd but permitted forms stay as they are.
    (
      base + "X-A:\n  b  \nX-B:c\nResent-Message-ID: <r@r>\nX-Message-ID: k\n\n\n\n",
      base + "X-A:\n  b  \nX-B:c\nResent-Message-ID: <r@r>\nX-Message-ID: k\n" + ours + "\n\n\n"
    ),
    (base + "\n--=_ceralacca_M\nFrom anna\n   \n", base + ours + "\n--=_ceralacca_M\nFrom anna\n   \n"),
  ])
  func replaced(original: String, expected: String) throws {
    expectEqual(try enclosed(wire(original)), wire(expected), String(reflecting: original))
  }

  /// BDAT may end a message anywhere: nothing is added at its end, but for a header line that would run into ours.
  @Test(arguments: [
    (base + "\ntesto", base + ours + "\ntesto"), (base + "\n\n.", base + ours + "\n\n."),
    (base + "Subject: s", base + "Subject: s\n" + ours),
    (base + "Message-ID: <x@y>", base + ours + "X-Riferimento-Message-ID: <x@y>\n"),
  ])
  func withoutFinalLineEnd(original: String, expected: String) throws {
    expectEqual(try enclosed(wire(original)), wire(expected), String(reflecting: original))
  }

  @Test func fragmentsPointAndDoNotCopy() {
    let original = wire("Message-ID: <x@y>\n" + Self.base + "\n" + String(repeating: "testo\n", count: 10_000))
    let (submission, facts) = submit(original)
    let draft = composer.envelope(facts, original: submission.facts, boundarySeed: 1)
    let pointed = draft.signed.reduce(0) { sum, fragment in
      if case .original(let range) = fragment { return sum + range.count }
      return sum
    }
    #expect(pointed == original.count - "Message-ID: <x@y>\r\n".utf8.count)
    #expect(draft.signed.count == 5)
  }

  @Test func untrustedMessageID() throws {
    let cases: [(String, String?)] = [
      ("senza parentesi", "senza parentesi"), ("", nil), ("<a@b> <c@d>", "<a@b> <c@d>"), ("<a\tb@c>", "<ab@c>"),
      ("<" + String(repeating: "x", count: 980) + ">", "<" + String(repeating: "x", count: 971)),
    ]
    for (value, expected) in cases {
      let (_, facts) = submit(wire("Message-ID: \(value)\n" + Self.base + "\n"))
      #expect(facts.clientMessageID == expected)
      for draft in [composer.acceptance(facts, boundarySeed: 1)] {
        #expect(MessageWalker.facts(of: assemble(draft)).flags == [])
      }
    }
    let (_, folded) = submit(wire("Message-ID:\n <a@\n\tb>\n" + Self.base + "\n"))
    #expect(folded.clientMessageID == "<a@b>")
  }

  @Test func outerHeaderHoldsNothingElse() throws {
    let original = wire(exampleText)
    let (submission, facts) = submit(original)
    let message = assemble(composer.envelope(facts, original: submission.facts, boundarySeed: 1), original: original)
    let header = MessageWalker.facts(of: message).header
    #expect(
      header.fields.map { header.name(of: $0) } == [
        "Received", "X-Trasporto", "X-Riferimento-Message-ID", "X-TipoRicevuta", "Date", "Subject", "From", "Reply-To", "To", "Cc",
        "Message-ID", "MIME-Version", "Content-Type",
      ])
  }
}
