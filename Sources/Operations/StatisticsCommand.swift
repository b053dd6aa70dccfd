import Foundation
import Gateway
import Journey
import Ledger
import PEC

/// `ceralacca statistics`: what providers owe the supervisor every two months (`pec-rules` 9.6), as CSV.
public enum StatisticsCommand {
  /// Writes one line for each day: messages in and out, what became of them, and the mailboxes of each domain as they were last counted.
  ///
  /// Out are messages that our access point accepted; in are those that we took in charge for our mailboxes, those of our own users to
  /// each other included, which pass both.
  /// - Parameters:
  ///   - from: first day; nil for the first of the two-month period that ended last.
  ///   - to: last day; nil for the last of that period.
  public static func run(from: String?, to: String?, configurationFile: String, say: (String) -> Void) throws {
    let today = LegalDay(Clock.now())
    let period = lastPeriod(before: today)
    let first = try LogSearchWords.day(from, of: "--from") ?? period.from
    let last = try LogSearchWords.day(to, of: "--to") ?? period.to
    guard first <= last else { throw CommandFailure("the last day must not come before the first", exitCode: CommandFailure.usage) }
    let days: [DayStatistics]
    do { days = try QueueCommands.ledger(configurationFile).statistics(from: first, to: last) } catch let error as LedgerError {
      throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput)
    }
    let domains = Set(days.flatMap(\.mailboxes.keys)).sorted()
    let names = ["day", "out", "in", "refused", "delivered", "not_delivered", "silent_12h", "silent_24h", "infected"]
    say((names + domains.map { "mailboxes_\($0)" }).map(CommaSeparated.field).joined(separator: ","))
    for day in days {
      let numbers = sums.map { kinds in "\(kinds.reduce(0) { $0 + (day.counts[$1] ?? 0) })" }
      say(([day.day.text] + numbers + domains.map { day.mailboxes[$0].map { "\($0)" } ?? "" }).joined(separator: ","))
    }
  }

  /// The events that each column counts.
  private static let sums: [[EventKind]] = [
    [.acceptance], [.takeCharge], [.nonAcceptance, .nonAcceptanceVirus], [.delivery],
    [.nonDelivery, .virusNonDelivery], [.timeoutFirst], [.timeoutSecond],
    [.nonAcceptanceVirus, .virusDetection, .infectedCertified, .ordinaryInfected],
  ]

  /// The last whole period of two months: January and February, March and April…
  static func lastPeriod(before day: LegalDay) -> (from: LegalDay, to: LegalDay) {
    let parts = day.text.split(separator: "-").compactMap { Int($0) }
    let (year, month) = (parts.first ?? 1970, parts.count > 1 ? parts[1] : 1)
    let current = LegalDay("\(year)-\((month - 1) / 2 * 2 + 1)-1") ?? day
    return (current.before(months: 2), current.advanced(by: -1))
  }
}
