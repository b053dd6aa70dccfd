public import Configuration
public import PEC

/// Why a seal is made.
public enum SealReason: String, Sendable, CaseIterable {
  /// The hour of the day came: no row waits longer than a day (`pec-rules` 9.3).
  case daily
  /// So many rows wait as a seal may cover.
  case size
  /// The operator asked.
  case asked
}

/// When a seal is due: a rule without a clock of its own.
public enum SealSchedule {
  /// - Parameters:
  ///   - waiting: rows that no seal covers.
  ///   - since: when the last seal was made; before the first seal, when the first row was written. Unix seconds.
  ///   - now: the present in legal time.
  /// - Returns: why rows are to be sealed now; nil when they may wait, or none does.
  public static func due(waiting: Int64, since: Int64, now: Instant, settings: CertifiedLogSettings) -> SealReason? {
    if waiting <= 0 { return nil }
    if waiting >= Int64(settings.sealEveryRows) { return .size }
    // A clock that was wrong by more than a day when the last seal was made must not keep the next ones off.
    return since < lastHour(before: now, settings: settings) || since > now.unixSeconds &+ 86_400 ? .daily : nil
  }

  /// The last moment at or before `now` at which clocks showed the hour of the daily seal.
  private static func lastHour(before now: Instant, settings: CertifiedLogSettings) -> Int64 {
    let offset = Int64(now.utcOffsetSeconds)
    let day = LegalDay(now).number
    let hour = day * 86_400 + Int64(settings.sealDailyAt.secondsOfDay) - offset
    return hour <= now.unixSeconds ? hour : hour - 86_400
  }
}
