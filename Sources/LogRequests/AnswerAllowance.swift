public import Journey
public import PEC

/// How many mails an asker is sent on one day without anybody having a look.
///
/// A machine that answers ours and does not say what it is (RFC 3834 §5) would go on for ever. So a form is sent once to each
/// correspondent and day (`pec-rules` 13.6), and the extracts that somebody may ask for are counted too: what quotes our answer, form
/// and all, is a request again.
public struct AnswerAllowance: Sendable, Equatable {
  /// Requests of one asker that are answered on one day.
  public static let requestsPerDay = 100
  /// Seconds before now in which a request may have changed on this legal day, the longest of the year included.
  public static let daySeconds: Int64 = 90_000

  private var told: [LogRequestRecord.State: Int] = [:]

  /// What is still allowed.
  /// - Parameter requests: all requests of the asker about which a mail was sent within the last `daySeconds`.
  public init(_ requests: [LogRequestRecord], at now: Instant) {
    for request in requests where request.answerID != nil {
      let changed = Instant(unixSeconds: request.changedAt, utcOffsetSeconds: now.utcOffsetSeconds)
      if LegalDay(changed) == LegalDay(now) { told[request.state, default: 0] += 1 }
    }
  }

  /// Why no mail that brings a request of his to this state is sent today; nil when it is.
  public func objection(to state: LogRequestRecord.State) -> String? {
    switch state {
    case .returned, .refused: told[state] == nil ? nil : "the asker got a mail that says the same today already"
    case .open:
      told.values.reduce(0, +) < AnswerAllowance.requestsPerDay
        ? nil : "\(AnswerAllowance.requestsPerDay) requests of the asker were answered today"
    // These end what was begun, or an operator wants them.
    case .waiting, .answered: nil
    }
  }
}
