import Journey
import Limits
import MIMEStream
import Octets
import PEC
import Testing

@testable import LogRequests

@Suite struct LogAnswerTests {
  private static let asked = Instant(unixSeconds: 1_795_254_266, utcOffsetSeconds: 3600)

  private static let frame = LogAnswer.Frame(
    mailbox: Mails.mailbox, asker: Mails.anna, providerName: "Alfa «PEC» S.p.A.", messageID: "answer.1@pec.alfa.test",
    requestMessageID: "<request@host.example>", instant: Instant(unixSeconds: 1_795_254_300, utcOffsetSeconds: 3600))

  static let contents: [LogAnswer.Content] = [
    .opened, .extract(fileName: "estratto-1.zip", archive: [UInt8](0..<200) + Array("--=_ceralacca-estratto".utf8), rows: 12),
    .nothingFound,
    .unclear(missing: [.recipient, .day], problems: ["Data: «ieri\r\nBcc: x» non è una data"]), .notYours,
    .waiting(reason: "Il messaggio è sotto verifica.\r\n.\r\n"), .refused(reason: ""),
  ]

  private static func answer(_ content: LogAnswer.Content) -> LogAnswer {
    var question = Mails.full
    question.subject = "Perché\r\nBcc: tutti@x.test"
    return LogAnswer(content, question: question, requestID: "node1.20261121094426.000001.abc@pec.alfa.test", askedAt: asked)
  }

  private static func text(_ message: [UInt8], _ facts: MessageFacts) throws -> String {
    let part = try #require(facts.parts.first { $0.type == "text/plain" })
    return String(decoding: TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding), as: UTF8.self)
  }

  @Test(arguments: contents)
  func itIsACleanMessage(content: LogAnswer.Content) throws {
    let message = Self.answer(content).message(Self.frame)
    let facts = MessageWalker.facts(of: message)
    #expect(facts.flags == [], "\(facts.flags.names)")
    #expect(message.allSatisfy { $0 < 128 })
    #expect(message.split(separator: 10).allSatisfy { $0.count <= 77 })
    #expect(message.suffix(2) == [13, 10])
    func value(_ name: String) -> String? {
      facts.header.first(named: name).map { String(decoding: facts.header.value(of: $0), as: UTF8.self) }
    }
    #expect(value("From") == Mails.mailbox)
    #expect(value("To") == Mails.anna)
    #expect(value("Date") == "Sat, 21 Nov 2026 10:45:00 +0100")
    #expect(value("Message-ID") == "<answer.1@pec.alfa.test>")
    #expect(value("In-Reply-To") == "<request@host.example>")
    #expect(value("Auto-Submitted") == "auto-replied")
    #expect(facts.header.first(named: "Bcc") == nil)
    let subject = try #require(facts.header.first(named: "Subject").map { EncodedWord.decode(facts.header.value(of: $0)) })
    #expect(subject.hasPrefix("Estratto del registro"))
    let text = try Self.text(message, facts)
    #expect(text.contains("Richiesta numero: node1.20261121094426.000001.abc@pec.alfa.test"))
    #expect(text.contains("21/11/2026 alle ore 10:44:26 (+0100)"))
    #expect(text.contains("Alfa «PEC» S.p.A."))
    #expect(text.contains(Mails.bruno))
    #expect(!text.contains("\nBcc"))
    #expect(!text.contains("\n\n\n"))
    #expect(facts.parts.count == (facts.parts[0].isMultipart ? 3 : 1))
  }

  /// As a submission it passes the checks that every holder's message does.
  @Test(arguments: contents)
  func itPassesTheAccessPoint(content: LogAnswer.Content) {
    let message = Self.answer(content).message(Self.frame)
    let submission = Submission(reversePath: Mails.mailbox, forwardPaths: [Mails.anna], facts: MessageWalker.facts(of: message))
    let faults = FormalCheck.faults(of: submission, limits: MessageLimits())
    #expect(faults.isEmpty, "\(faults)")
  }

  /// What we write is never taken for a request.
  @Test(arguments: contents)
  func itIsNeverAnswered(content: LogAnswer.Content) {
    let message = Self.answer(content).message(Self.frame)
    for asker in [Mails.mailbox, Mails.anna] {
      guard case .automatic = Mails.read(message, asker: asker) else {
        Issue.record("it would be answered")
        return
      }
    }
  }

  @Test func theArchiveComesWhole() throws {
    let archive = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    for name in ["estratto 1.zip", "../../etc/passwd", "\"\r\nBcc: x", "", "…"] {
      let message = Self.answer(.extract(fileName: name, archive: archive, rows: 1)).message(Self.frame)
      let facts = MessageWalker.facts(of: message)
      let part = try #require(facts.parts.last)
      #expect(part.type == "application/zip")
      #expect(part.disposition == "attachment")
      let given = try #require(part.filename)
      #expect(given.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 > 32 } && !given.hasPrefix("."))
      #expect(TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding) == archive)
      #expect(try Self.text(message, facts).contains("un evento"))
    }
  }

  /// The form that is sent can be filled in and sent back: what was understood stands in it, and is understood again.
  @Test func theFormComesBack() throws {
    var question = Mails.full
    question.to = LegalDay("2026-03-15")
    question.subject = "Diffida"
    question.name = "Anna Rossi"
    let answer = LogAnswer(.unclear(missing: [.day], problems: []), question: question, requestID: "r", askedAt: Self.asked)
    let message = answer.message(Self.frame)
    let text = try Self.text(message, MessageWalker.facts(of: message))
    #expect(text.contains("Mittente: anna@pec.alfa.test\n") || text.contains("Mittente: anna@pec.alfa.test\r\n"))
    let lines = text.replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false)
    let reply = "Ecco il modulo.\n\nIl giorno 21/11/2026 registro@pec.alfa.test ha scritto:\n" + lines.map { "> \($0)\n" }.joined()
    #expect(Mails.read(Mails.plain(reply)) == .understood(question))
    // Sent back as it is, without a quotation, it is understood too; blank it is not.
    #expect(Mails.read(Mails.plain(lines.joined(separator: "\n"))) == .understood(question))
    let blank = LogAnswer(.unclear(missing: [], problems: []), question: LogRequestQuestion(), requestID: "r", askedAt: Self.asked)
    let form = try Self.text(blank.message(Self.frame), MessageWalker.facts(of: blank.message(Self.frame)))
    guard case .unclear(let found, let missing, let problems) = Mails.read(Mails.plain(form.replacing("\r\n", with: "\n"))) else {
      Issue.record("a blank form was understood")
      return
    }
    #expect(found == LogRequestQuestion())
    #expect(missing == [.sender, .recipient, .day])
    #expect(problems == [])
  }

  @Test(arguments: [nil, "", "no brackets", "<a b>", "<è@x>", "<" + String(repeating: "a", count: 1000) + ">"] as [String?])
  func anOddMessageIDIsLeftOut(id: String?) {
    var frame = Self.frame
    frame.requestMessageID = id
    let facts = MessageWalker.facts(of: Self.answer(.opened).message(frame))
    #expect(facts.header.first(named: "In-Reply-To") == nil)
    #expect(facts.header.first(named: "References") == nil)
    #expect(facts.flags == [])
  }

  /// A record keeps what an answer needs.
  @Test func theRecordHoldsTheQuestion() {
    let record = LogRequestRecord(
      id: "r", pecID: "p", asker: Mails.anna, openedAt: Self.asked, changedAt: Self.asked.unixSeconds, question: Mails.full.text)
    let answer = LogAnswer(.opened, to: record)
    #expect(answer == LogAnswer(.opened, question: Mails.full, requestID: "r", askedAt: Self.asked))
    #expect(Self.contents.map(\.state) == [.open, .answered, .answered, .returned, .returned, .waiting, .refused])
  }
}
