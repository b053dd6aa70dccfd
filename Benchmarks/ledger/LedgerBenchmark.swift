import Foundation
import Journey
import Ledger
import PEC

/// Fills a ledger, and measures at several sizes how fast it takes rows and how fast it finds them.
///
///   ledger-benchmark FOLDER ROWS[,ROWS…] [quick]
///
/// Prints a line of JSON for each size. The rate is compared with that of a log that is empty: both get the same batches in turn, so that
/// what else the machine does falls on both.
@main struct LedgerBenchmark {
  static func main() throws {
    let words = CommandLine.arguments.dropFirst()
    let sizes = words.dropFirst().first?.split(separator: ",").compactMap { Int($0) } ?? []
    guard let folder = words.first, !sizes.isEmpty, sizes == sizes.sorted() else {
      print("usage: ledger-benchmark FOLDER ROWS[,ROWS…] [quick]")
      exit(64)
    }
    var benchmark = try LedgerBenchmark(folder: folder, isQuick: words.last == "quick")
    for size in sizes { try FileHandle.standardOutput.write(contentsOf: Data((try benchmark.measure(at: size) + "\n").utf8)) }
    try benchmark.ledger.close()
  }

  /// Rows after which an index block is full: a stretch of the measurement has each kind of work once.
  private static let stretchRows = 32_768

  private let folder: String
  private let isQuick: Bool
  private let ledger: Ledger
  private let path: String
  private var traffic = Traffic()
  private var rows = 0
  private var last = LegalDay(number: 0)

  private init(folder: String, isQuick: Bool) throws {
    (self.folder, self.isQuick, path) = (folder, isQuick, folder + "/log.sqlite")
    ledger = try Ledger(path: path)
  }

  private mutating func batch() -> [LedgerChange] {
    let events = traffic.batch()
    rows += events.count
    if let event = events.last { last = LegalDay(event.instant) }
    return events.map { .event($0) }
  }

  private mutating func measure(at size: Int) throws -> String {
    while rows < size { try ledger.commit(batch()) }
    let head = "\"rows\": \(rows), \"fileBytes\": \(try fileBytes())"
    let answers = rows > 0 ? try searching() : []
    return
      "{\(head), \(try appending(stretches: isQuick ? 2 : size < 200_000 ? 3 : 7)), \"searches\": [\(answers.joined(separator: ", "))]}"
  }

  private func fileBytes() throws -> Int {
    try ["", "-wal"].reduce(0) { sum, ending in
      let found = try FileManager.default.attributesOfItem(atPath: path + ending)[.size] as? NSNumber
      return sum + (found?.intValue ?? 0)
    }
  }

  // MARK: - Appending

  /// A stretch of rows through both logs.
  private struct Stretch {
    var rows = 0
    var commits: [Double] = []
    var cpuMilliseconds = 0.0

    var milliseconds: Double { commits.reduce(0, +) }
    var rate: Double { Double(rows) / milliseconds * 1000 }

    mutating func commit(_ changes: [LedgerChange], to ledger: Ledger) throws {
      let cpu = clock()
      commits.append(try Stopwatch.milliseconds { try ledger.commit(changes) }.0)
      cpuMilliseconds += Double(clock() - cpu) / 1000
      rows += changes.count
    }
  }

  private mutating func appending(stretches: Int) throws -> String {
    let otherPath = "\(folder)/small.sqlite"
    let small = try Ledger(path: otherPath)
    var grown = 0
    // A log that begins has nothing to write back from its write-ahead log for a while.
    while grown < LedgerBenchmark.stretchRows / (isQuick ? 4 : 1) {
      let changes = batch()
      try small.commit(changes)
      try ledger.commit(changes)
      grown += changes.count
    }
    var ours: [Stretch] = []
    var empty: [Stretch] = []
    for _ in 0..<stretches {
      var (mine, theirs) = (Stretch(), Stretch())
      while mine.rows < LedgerBenchmark.stretchRows {
        let changes = batch()
        let isFirst = mine.commits.count % 2 == 0
        if isFirst { try mine.commit(changes, to: ledger) }
        try theirs.commit(changes, to: small)
        if !isFirst { try mine.commit(changes, to: ledger) }
      }
      ours.append(mine)
      empty.append(theirs)
    }
    try small.close()
    try FileManager.default.removeItem(atPath: otherPath)
    let ratios = zip(ours, empty).map { $0.rate / $1.rate }
    return """
      "rowsPerSecond": \(JSON.number(JSON.median(ours.map(\.rate)))), \
      "emptyRowsPerSecond": \(JSON.number(JSON.median(empty.map(\.rate)))), \
      "ratio": \(JSON.number(JSON.median(ratios))), "ratios": \(JSON.list(ratios)), \
      "cpuMicrosecondsPerRow": \(JSON.number(cpu(ours))), "emptyCPUMicrosecondsPerRow": \(JSON.number(cpu(empty))), \
      "commitMilliseconds": \(JSON.number(JSON.median(ours.flatMap(\.commits)))), \
      "worstCommitMilliseconds": \(JSON.number(ours.flatMap(\.commits).max() ?? 0))
      """
  }

  private func cpu(_ stretches: [Stretch]) -> Double {
    stretches.map(\.cpuMilliseconds).reduce(0, +) * 1000 / Double(max(1, stretches.map(\.rows).reduce(0, +)))
  }

  // MARK: - Searching

  private func searching() throws -> [String] {
    let questions = traffic.questions(examples: isQuick ? 3 : 5, last: last)
    let asking = Asking(path: path, repetitions: isQuick ? 2 : 5)
    try asking.remember()
    var answers = try questions.map { try asking.answer($0) }
    for place in questions.indices { try asking.answerCold(questions[place], into: &answers[place]) }
    // What follows finds the file as a log finds itself that is written all the time.
    try asking.remember()
    return answers.map { answer in
      """
      {"name": \(JSON.text(answer.name)), "rows": \(answer.rows), \
      "milliseconds": \(JSON.number(JSON.median(answer.fresh.flatMap(\.self)))), "slowestMilliseconds": \(JSON.number(answer.slowest)), \
      "worstMilliseconds": \(JSON.number(answer.fresh.flatMap(\.self).max() ?? 0)), \
      "againMilliseconds": \(JSON.number(JSON.median(answer.again))), \
      "coldMilliseconds": \(JSON.number(answer.cold.max() ?? 0)), "fault": \(answer.fault.map { JSON.text($0) } ?? "null")}
      """
    }
  }
}

/// What the report's lines are written with.
enum JSON {
  static func number(_ value: Double) -> String { String(format: "%.3f", value) }
  static func list(_ values: [Double]) -> String { "[\(values.map { number($0) }.joined(separator: ", "))]" }
  static func text(_ text: String) -> String { "\"\(text.replacingOccurrences(of: "\"", with: "\\\""))\"" }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    return (sorted[sorted.count / 2] + sorted[(sorted.count - 1) / 2]) / 2
  }
}
