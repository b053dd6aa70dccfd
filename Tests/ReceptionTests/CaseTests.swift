import Foundation
import Octets
import PEC
import Testing

@testable import Reception

/// A row of cases.txt.
struct Case: CustomTestStringConvertible, Sendable {
  var line: Int
  var name: String
  var message: String
  var changes: [String]
  var treatment: String
  var reason: String
  var who: String

  var testDescription: String { "\(line) \(name)" }

  /// All rows; none when the file cannot be read, which `CaseTests.tableIsWhole` finds out.
  static let all: [Case] = (try? read()) ?? []

  private static func read() throws -> [Case] {
    let lines = try fixture("cases.txt").split(separator: "\n", omittingEmptySubsequences: false)
    return try lines.enumerated().compactMap { index, line in
      if line.isEmpty || line.hasPrefix("#") { return nil }
      let columns = line.components(separatedBy: " | ").map { $0.trimmingCharacters(in: .whitespaces) }
      guard columns.count == 5 || columns.count == 6 else { throw CaseFault("line \(index + 1) has \(columns.count) columns") }
      // A change may end in a space that counts: "old => ".
      let changes = line.components(separatedBy: " | ")[2].components(separatedBy: " ; ").map { String($0.drop { $0 == " " }) }
      return Case(
        line: index + 1, name: columns[0], message: columns[1], changes: changes.filter { !$0.isEmpty }, treatment: columns[3],
        reason: columns[4], who: columns.count == 6 ? columns[5] : "")
    }
  }
}

@Suite struct CaseTests {
  @Test func tableIsWhole() throws {
    #expect(Case.all.count >= 160)
    #expect(Set(Case.all.map(\.name)).count == Case.all.count)
  }

  @Test(arguments: Case.all)
  func treatment(row: Case) throws {
    var counterfeit = try Counterfeit(row.message)
    for change in row.changes { try counterfeit.apply(change) }
    let (message, _) = counterfeit.received()
    let judgement = World.check.judge(message, at: World.arrival)
    #expect(CaseTests.word(judgement.treatment) == row.treatment, "\(judgement.reasons.map(\.english)) \(judgement.remarks)")
    expectReason(row.reason, judgement)
    expectWho(row.who, judgement, message.forwardPaths)
    expectSound(judgement, message)
  }

  private func expectReason(_ reason: String, _ judgement: Judgement) {
    if reason == "-" {
      #expect(judgement.reasons.isEmpty && judgement.remarks.isEmpty, "\(judgement.reasons.map(\.english)) \(judgement.remarks)")
    } else if reason.hasPrefix("~") {
      #expect(judgement.reasons.isEmpty, "\(judgement.reasons.map(\.english))")
      #expect(judgement.remarks.contains { $0.contains(reason.dropFirst()) }, "\(judgement.remarks)")
    } else {
      #expect(judgement.reasons.contains { $0.english.contains(reason) }, "\(judgement.reasons.map(\.english))")
    }
  }

  /// `recipients a b / strangers c / duplicates d`; nothing said: all are recipients.
  private func expectWho(_ who: String, _ judgement: Judgement, _ paths: [String]) {
    var expected: [String: [String]] = who.isEmpty ? ["recipients": paths] : [:]
    if !who.isEmpty {
      for list in who.components(separatedBy: " / ") {
        let words = list.split(separator: " ").map(String.init)
        expected[words[0]] = Array(words.dropFirst())
      }
    }
    #expect(judgement.recipients == expected["recipients"] ?? [])
    #expect(judgement.strangers == expected["strangers"] ?? [])
    #expect(judgement.duplicates == expected["duplicates"] ?? [])
  }

  /// What holds of every judgement.
  private func expectSound(_ judgement: Judgement, _ message: ReceivedMessage) {
    for reason in judgement.reasons {
      #expect(!reason.english.isEmpty && !reason.italian.isEmpty && !reason.english.hasSuffix(".") && !reason.italian.hasSuffix("."))
      #expect(reason.italian.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 })
      #expect(reason.english.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 })
    }
    #expect(judgement.remarks.allSatisfy { $0.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 } })
    switch judgement.treatment {
    case .envelope(let data, let record), .notification(let data, let record), .serviceNotice(let data, let record):
      #expect(message.claim.contradictions(with: data).isEmpty)
      #expect(message.signature?.mathematics == .good && record.certificates.contains(message.signature?.certificate ?? []))
    case .anomaly(let record):
      #expect(!judgement.reasons.isEmpty && judgement.strangers.isEmpty && judgement.duplicates.isEmpty)
      #expect(message.signature?.mathematics == .good && record.certificates.contains(message.signature?.certificate ?? []))
    case .ordinary:
      #expect(!judgement.reasons.isEmpty && judgement.strangers.isEmpty && judgement.duplicates.isEmpty)
    }
  }

  static func word(_ treatment: Judgement.Treatment) -> String {
    switch treatment {
    case .envelope: "envelope"
    case .notification: "notification"
    case .serviceNotice: "service"
    case .anomaly: "anomaly"
    case .ordinary(let isForged): isForged ? "forged" : "ordinary"
    }
  }
}
