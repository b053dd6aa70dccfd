import Journey
import Octets
import PEC
import Testing

@testable import LogRequests

/// What becomes of a request before and after it is read.
@Suite struct RequestKeepingTests {
  // MARK: The note

  @Test func aNoteReadsBack() {
    let half = LogRequestQuestion(sender: Mails.anna)
    let readings: [LogRequestReading] = [
      .understood(Mails.full), .notYours(Mails.full),
      .unclear(half, missing: [.recipient, .day], problems: ["Data: «ieri» non è una data"]),
      .unclear(LogRequestQuestion(), missing: [.sender, .recipient, .day], problems: []), LogRequestReader.unreadable,
    ]
    for reading in readings { #expect(RequestNote.text(reading).map(RequestNote.reading) == reading) }
    #expect(RequestNote.text(.automatic("a list")) == nil)
  }

  /// The fields' values are somebody else's words.
  @Test func aNoteIsNotForged() {
    let question = LogRequestQuestion(subject: "not-yours: yes", identifier: "i@j", name: "unread: yes")
    #expect(RequestNote.text(.understood(question)).map(RequestNote.reading) == .understood(question))
  }

  // MARK: What is not read

  @Test func whatIsTooLargeIsAnsweredUnlessNobodyWroteIt() throws {
    func reading(_ header: String, asker: String = Mails.anna) -> LogRequestReading {
      let whole = Array(Mails.plain("Mittente: \(Mails.anna)\n" + String(repeating: "Allegato\n", count: 40_000), header: header).utf8)
      return LogRequestReader.tooLarge(Chunk(Array(whole.prefix(100_000))), asker: asker, mailbox: Mails.mailbox)
    }
    guard case .unclear(let question, let missing, let problems) = reading("") else {
      Issue.record("\(reading(""))")
      return
    }
    #expect(question == LogRequestQuestion() && missing == [] && problems.count == 1)
    #expect(try #require(problems.first).contains("troppo grande"))
    let machines = [
      reading("Auto-Submitted: auto-replied\r\n"), reading("X-Ricevuta: accettazione\r\n"), reading("", asker: Mails.mailbox),
      reading("", asker: ""),
    ]
    for case let other in machines where RequestNote.text(other) != nil { Issue.record("\(other)") }
  }

  // MARK: The subject

  @Test(
    arguments: [
      ("Diffida", "Diffida"), ("POSTA CERTIFICATA: Diffida", "Diffida"), ("Accettazione: Diffida", "Diffida"),
      ("CONSEGNA:Diffida", "Diffida"), ("Re: POSTA CERTIFICATA: Diffida", "Diffida"), ("R: I: Fwd: RE: Diffida", "Diffida"),
      ("Re[2]: Diffida", "Diffida"), ("RE (3) : Diffida", "Diffida"),
      ("AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: Diffida", "Diffida"), ("ANOMALIA  MESSAGGIO:  Diffida", "Diffida"),
      ("Avviso di non accettazione per virus: Diffida", "Diffida"), ("Oggetto: re: Diffida", "Oggetto: re: Diffida"),
      ("Fattura 3: saldo", "Fattura 3: saldo"), ("Consegna chiavi", "Consegna chiavi"), ("Re: ", nil), ("POSTA CERTIFICATA:", nil),
      ("", nil),
    ] as [(String, String?)])
  func theSubjectIsTheOriginals(written: String, original: String?) {
    #expect(LogRequestQuestion(subject: written).originalSubject == original)
  }

  @Test func everyKindsPrefixGoes() {
    #expect(MessageKind.subjectPrefixes.count == 14)
    for prefix in MessageKind.subjectPrefixes { #expect(LogRequestQuestion(subject: prefix + "Diffida").originalSubject == "Diffida") }
    #expect(LogRequestQuestion().originalSubject == nil)
  }

  // MARK: How often somebody is answered

  private static let noon = Instant(unixSeconds: 1_795_258_800, utcOffsetSeconds: 3600)

  private func told(_ state: LogRequestRecord.State, ago seconds: Int64 = 60, answerID: String? = "a@b") -> LogRequestRecord {
    LogRequestRecord(
      id: "r", pecID: "p", asker: Mails.anna, openedAt: Self.noon, state: state, changedAt: Self.noon.unixSeconds - seconds,
      answerID: answerID)
  }

  private func objected(_ told: [LogRequestRecord]) -> Set<LogRequestRecord.State> {
    let allowance = AnswerAllowance(told, at: Self.noon)
    return Set(LogRequestRecord.State.allCases.filter { allowance.objection(to: $0) != nil })
  }

  @Test func oneFormADay() {
    #expect(objected([]) == [])
    #expect(objected([told(.returned)]) == [.returned])
    #expect(objected([told(.refused), told(.answered)]) == [.refused])
    // Yesterday, or not sent at all.
    #expect(objected([told(.returned, ago: 13 * 3600)]) == [])
    #expect(objected([told(.returned, answerID: nil)]) == [])
    #expect(objected([told(.returned, ago: 12 * 3600)]) == [.returned])
  }

  @Test func aHundredRequestsADay() {
    #expect(objected(Array(repeating: told(.answered), count: 99)) == [])
    #expect(objected(Array(repeating: told(.answered), count: 50) + Array(repeating: told(.open), count: 50)) == [.open])
    #expect(objected(Array(repeating: told(.answered, ago: 13 * 3600), count: 100)) == [])
  }

  // MARK: Retries

  @Test func eachFailureWaitsLonger() {
    var retries = RequestRetries()
    var now: Int64 = 1000
    var pauses: [Int64] = []
    for time in 1...10 {
      #expect(retries.isDue("one", at: now))
      #expect(retries.fail("one", at: now) == time)
      #expect(retries.isDue("two", at: now))
      let pause = (0...1000).first { retries.isDue("one", at: now + $0) } ?? -1
      pauses.append(pause)
      now += pause
    }
    #expect(pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600])
    #expect(retries.count == 1)
    retries.succeed("one")
    #expect(retries == RequestRetries())
    #expect(retries.fail("one", at: now) == 1)
  }

  @Test func aClockThatWasPutBackDelaysNothing() {
    var retries = RequestRetries()
    _ = retries.fail("one", at: 100_000)
    #expect(!retries.isDue("one", at: 100_000))
    #expect(retries.isDue("one", at: 1000))
  }

  @Test func whatAnOperatorAnsweredIsForgotten() {
    var retries = RequestRetries()
    for id in ["one", "two", "three"] { _ = retries.fail(id, at: 0) }
    retries.keep(only: ["two", "four"])
    #expect(retries.count == 1)
    #expect(retries.fail("two", at: 10) == 2)
  }
}
