import Foundation
import Journey
import Ledger
import PEC

/// A kind of question that people ask of the log, and how long the answer takes.
struct Question {
  var name: String
  var queries: [LogQuery]
  /// How many rows each must find; nil where the traffic does not tell.
  var expected: [Int]?

  init(_ name: String, _ queries: [LogQuery], expected: [Int]? = nil) {
    (self.name, self.queries, self.expected) = (name, queries, expected)
  }
}

extension Traffic {
  /// Every field, rare and frequent values, and what goes badly together. `examples` letters are looked for by each of their fields.
  func questions(examples: Int, last: LegalDay) -> [Question] {
    let letters = (0..<min(examples, kept.count)).map { kept[$0 * (kept.count - 1) / max(1, examples - 1)] }
    func each(_ query: (Letter) -> LogQuery) -> [LogQuery] { letters.map(query) }
    func both(_ query: LogQuery) -> [LogQuery] {
      var other = query
      other.newestFirst = true
      return [query, other]
    }
    func address(_ letter: Letter) -> String { letter.recipients.first?.address ?? "" }
    func day(_ letter: Letter) -> LegalDay { LegalDay(letter.instant) }
    let month = last.advanced(by: -30)
    return [
      Question("PEC id", each { LogQuery(pecID: $0.id) }, expected: letters.map(\.rows)),
      Question("client's Message-ID", each { LogQuery(clientMessageID: $0.clientMessageID) }, expected: letters.map(\.rows)),
      Question("related id", each { LogQuery(relatedID: $0.relatedID) }),
      Question("sender", each { LogQuery(sender: $0.sender) }),
      Question("sender who writes most", both(LogQuery(sender: Traffic.office))),
      Question("recipient", each { LogQuery(recipient: address($0)) }),
      Question("address, sender or recipient", each { LogQuery(party: address($0)) } + both(LogQuery(party: Traffic.office))),
      Question("one day", each { LogQuery(from: day($0), to: day($0)) }),
      Question("a month", both(LogQuery(from: month, to: last))),
      Question("rare subject word", both(LogQuery(words: [Traffic.rareWord]))),
      Question("frequent subject word", both(LogQuery(words: [Traffic.commonWord]))),
      Question("whole subject", each { LogQuery(words: [$0.subject]) }),
      Question("rare event", both(LogQuery(kinds: [.virusDetectionReceived])) + both(LogQuery(kinds: [.anomaly]))),
      Question("frequent event", both(LogQuery(kinds: [.noticeDelivered]))),
      Question("any of four events", both(LogQuery(kinds: [.nonAcceptance, .anomaly, .virusDetectionReceived, .timeoutSecond]))),
      Question("provider", both(LogQuery(provider: Traffic.ourProvider)) + both(LogQuery(provider: "Gestore 39 S.p.A."))),
      Question("error", both(LogQuery(error: "no-dest")) + both(LogQuery(error: "virus"))),
      Question("sender, recipient and day", each { LogQuery(sender: $0.sender, recipient: address($0), from: day($0), to: day($0)) }),
      Question("sender and month", both(LogQuery(sender: Traffic.office, from: month, to: last))),
      Question(
        "sender, word and event", each { LogQuery(sender: $0.sender, words: [$0.subject], kinds: [.acceptance, .envelopeReceived]) }),
      Question("word and error", both(LogQuery(words: [Traffic.wordOfOthers], error: "no-dest"))),
      Question(
        "two frequent values that never meet",
        both(LogQuery(sender: Traffic.office, words: [Traffic.wordOfOthers]))
          + both(LogQuery(kinds: [.envelopeReceived], provider: Traffic.ourProvider)), expected: [0, 0, 0, 0]),
      Question(
        "nothing",
        [
          LogQuery(sender: Traffic.nobody), LogQuery(recipient: Traffic.nobody), LogQuery(words: ["inesistente"]),
          LogQuery(pecID: Traffic.nobody), LogQuery(clientMessageID: "<nobody@client.test>"), LogQuery(relatedID: Traffic.nobody),
          LogQuery(error: "nessun-errore"), LogQuery(kinds: [.dropped]),
        ], expected: [0, 0, 0, 0, 0, 0, 0, 0]),
    ]
  }
}

/// How long the first page of a thousand rows took, in milliseconds.
struct Answer {
  var name: String
  var rows = 0
  /// With a connection of its own, as the operator's command has it, and the file in the system's memory: all times of each query.
  var fresh: [[Double]] = []
  /// The same again on that connection.
  var again: [Double] = []
  /// With nothing of the file in memory.
  var cold: [Double] = []
  var fault: String?

  /// The slowest query's median: one that was slow because of what else the machine does is no slow query.
  var slowest: Double { fresh.map { JSON.median($0) }.max() ?? 0 }
}

enum Stopwatch {
  static func milliseconds<Value>(_ body: () throws -> Value) rethrows -> (Double, Value) {
    let clock = ContinuousClock()
    let began = clock.now
    let value = try body()
    return ((clock.now - began) / .milliseconds(1), value)
  }
}

/// Asks questions of a ledger's file.
struct Asking {
  let path: String
  let repetitions: Int

  /// Asks a question with the file in the system's memory.
  func answer(_ question: Question) throws -> Answer {
    var answer = Answer(name: question.name)
    for (place, query) in question.queries.enumerated() {
      var times: [Double] = []
      for _ in 0..<repetitions {
        let reader = try Ledger.openReadOnly(path: path)
        let (fresh, page) = try Stopwatch.milliseconds { try reader.search(query) }
        let (again, second) = try Stopwatch.milliseconds { try reader.search(query) }
        times.append(fresh)
        answer.again.append(again)
        answer.rows = max(answer.rows, page.rows.count)
        if second != page { answer.fault = "the second answer is another" }
        if let expected = question.expected?[place], page.rows.count != expected || page.next != nil {
          answer.fault = "\(page.rows.count) rows where \(expected) are"
        }
      }
      answer.fresh.append(times)
    }
    return answer
  }

  /// Asks the first of a question's queries, and the last, with nothing of the file in memory.
  func answerCold(_ question: Question, into answer: inout Answer) throws {
    for query in [question.queries.first, question.queries.last].compactMap(\.self) {
      try forget()
      let reader = try Ledger.openReadOnly(path: path)
      answer.cold.append(try Stopwatch.milliseconds { try reader.search(query) }.0)
    }
  }

  /// Lets the system drop the file's pages.
  private func forget() throws {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    try file.synchronize()
    posix_fadvise(file.fileDescriptor, 0, 0, POSIX_FADV_DONTNEED)
    try file.close()
  }

  /// Brings the whole file into the system's memory.
  func remember() throws {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    while let piece = try file.read(upToCount: 1 << 22), !piece.isEmpty {}
    try file.close()
  }
}
