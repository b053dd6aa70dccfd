import Digests
import Evidence
public import Journey
import Ledger
import Octets
public import PEC
import TimeStamping

/// What came of asking for stamps.
public struct SealingOutcome: Sendable, Equatable {
  /// To be committed as one.
  public var changes: [LedgerChange] = []
  /// For the operator's log.
  public var lines: [String] = []
  /// For the operator's log, as warnings: seals without a stamp, authorities that fail or lie.
  public var alarms: [String] = []

  /// Nothing so far.
  public init() {}
}

/// Time stamps of seals, and their renewal.
extension Sealer {
  /// Seals that are stamped, and records that are renewed together, in one call at the most.
  static let batch = 256

  /// Asks for the stamps that are missing, oldest seal first.
  ///
  /// Blocks for at most the configured time for each authority that does not answer, and asks one that failed once only. A seal that
  /// stays without a stamp is told of in a row of the log once a day (`pec-rules` 9.3); it is asked for again at the next call.
  public func stamp(at instant: Instant) -> SealingOutcome {
    var outcome = SealingOutcome()
    let seals: [SealRecord]
    do { seals = try ledger.unstampedSeals() } catch {
      outcome.alarms.append("the ledger cannot be read: \(error)")
      return outcome
    }
    var client = StampClient(settings: settings.timeStamps, clock: clock)
    var missing: [Int64] = []
    for seal in seals.prefix(Sealer.batch) {
      do {
        guard let stamp = try stamp(seal, &client) else {
          missing.append(seal.number)
          continue
        }
        outcome.changes.append(.stamp(seal: seal.number, at: stamp.genTime, authority: stamp.authority))
        var words = "seal \(seal.number) stamped by \(stamp.authority), serial number \(stamp.serial)"
        if !client.lines.isEmpty { words += "; before: \(client.lines.joined(separator: "; "))" }
        outcome.changes.append(.event(event(.stamped, seal: seal.number, at: instant, words)))
        outcome.lines.append(words)
      } catch {
        missing.append(seal.number)
        outcome.alarms.append("seal \(seal.number) cannot be stamped: \(error)")
      }
    }
    outcome.alarms += client.lines
    report(missing, client.lines, at: instant, &outcome)
    return outcome
  }

  /// The stamp of a seal: the one that an interrupted call left, or a new one; nil when no authority gave one.
  private func stamp(_ seal: SealRecord, _ client: inout StampClient) throws(SealingError) -> TimeStampToken? {
    let signature = try store.read(seal.number, SealFileNames.signature)
    let imprint = SHA256.digest(signature)
    if DurableFiles.exists(store.file(seal.number, SealFileNames.stamp)) {
      let left = try store.read(seal.number, SealFileNames.stamp)
      let authorities = try authorityFiles(seal.number)
      if let vouching = try? TimeStampAuthorities(pem: authorities.values.flatMap { $0 }),
        let token = try? TimeStampCheck.verify(token: left, imprint: imprint, authorities: vouching, at: nil)
      {
        try finish(seal.number, token, authorities: authorities, imprint: imprint)
        return token
      }
    }
    guard client.hasHope, let stamp = client.stamp(imprint) else { return nil }
    let name = try store.put(authorities: stamp.authorities, seal.number)
    try store.put(stamp.token.octets, seal.number, SealFileNames.stamp)
    try finish(seal.number, stamp.token, authorities: [name: stamp.authorities], imprint: imprint)
    return stamp.token
  }

  /// Adds the evidence record and names the new files in the list of contents: from then on they count.
  private func finish(
    _ number: Int64, _ token: TimeStampToken, authorities: [String: [UInt8]], imprint: [UInt8]
  ) throws(SealingError) {
    let record: EvidenceRecord
    do { record = try EvidenceRecord(first: token, imprint: imprint) } catch { throw .damaged(seal: number, words: "\(error)") }
    let name = SealFileNames.evidence(1)
    try store.put(record.octets, number, name)
    var digests: [String: String?] = authorities.mapValues { Hex.encode(SHA256.digest($0)) }
    digests[SealFileNames.stamp] = Hex.encode(SHA256.digest(token.octets))
    digests[name] = Hex.encode(SHA256.digest(record.octets))
    try store.list(number, digests)
  }

  /// Files of certificates that vouch for stamps, listed or not.
  private func authorityFiles(_ number: Int64) throws(SealingError) -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in try DurableFiles.names(in: store.folder(number)).filter(SealFileNames.isAuthority) {
      files[name] = try store.read(number, name)
    }
    return files
  }

  /// A row about the seals without a stamp that no row of this day tells of yet.
  private func report(_ missing: [Int64], _ lines: [String], at instant: Instant, _ outcome: inout SealingOutcome) {
    if missing.isEmpty { return }
    outcome.alarms.append("without a time stamp: \(Sealer.words(missing))")
    let today = LegalDay(instant)
    let query = LogQuery(kinds: [.stampMissing], from: today, to: today, newestFirst: true, limit: 1000)
    // When the log cannot be searched the alarm is given twice rather than not at all.
    let said = Set(((try? ledger.search(query))?.rows ?? []).flatMap(\.relatedIDs))
    let unsaid = missing.filter { !said.contains(Sealer.name($0)) }
    if unsaid.isEmpty { return }
    let reasons = settings.timeStamps.authorities.isEmpty ? ["no time-stamping authority is configured"] : lines
    var row = event(
      .stampMissing, seal: nil, at: instant, "no time stamp yet for \(Sealer.words(unsaid)): \(reasons.joined(separator: "; "))")
    row.relatedIDs = unsaid.map { Sealer.name($0) }
    outcome.changes.append(.event(row))
  }

  /// `seals 5 to 8, 11`.
  static func words(_ seals: [Int64]) -> String {
    var runs: [ClosedRange<Int64>] = []
    for seal in seals.sorted() {
      if let last = runs.last, last.upperBound + 1 == seal {
        runs[runs.count - 1] = last.lowerBound...seal
      } else {
        runs.append(seal...seal)
      }
    }
    let parts = runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)" }
    return (seals.count == 1 ? "seal " : "seals ") + parts.joined(separator: ", ")
  }

  // MARK: Renewal

  /// A record that is to be renewed.
  private struct Aging {
    var number: Int64
    var edition: Int
    var record: EvidenceRecord
  }

  /// Renews the stamps whose certificates end within `renewalDays` (RFC 4998 §5.2): one new stamp over a hash tree of many old ones. For
  /// once a day; reads the evidence of every seal.
  ///
  /// A stamp that does not hold any more is not renewed, because a new one would prove nothing about the time before: an alarm.
  public func renew(at instant: Instant) -> SealingOutcome {
    var outcome = SealingOutcome()
    var client = StampClient(settings: settings.timeStamps, clock: clock)
    var aging: [Aging] = []
    func flush() {
      guard !aging.isEmpty, client.hasHope else { return }
      let numbers = aging.map(\.number)
      do {
        guard let words = try renew(aging, &client) else { return }
        outcome.lines.append(words)
        outcome.changes.append(.event(event(.stamped, seal: nil, at: instant, words)))
      } catch {
        outcome.alarms.append("the stamps of \(Sealer.words(numbers)) cannot be renewed: \(error)")
      }
      aging = []
    }
    do {
      for number in try store.numbers() {
        do {
          if let one = try self.aging(number) { aging.append(one) }
        } catch {
          outcome.alarms.append("the stamp of seal \(number) cannot be renewed: \(error)")
        }
        if aging.count == Sealer.batch { flush() }
      }
    } catch {
      outcome.alarms.append("\(error)")
    }
    flush()
    if !aging.isEmpty { outcome.alarms.append("stamps that end soon and were not renewed: \(Sealer.words(aging.map(\.number)))") }
    outcome.alarms += client.lines
    return outcome
  }

  /// The record of a seal, when it must be renewed; files that an interrupted renewal left are removed.
  private func aging(_ number: Int64) throws(SealingError) -> Aging? {
    guard let edition = try store.evidenceEdition(number) else { return nil }
    try store.tidy(number)
    let now = clock()
    do {
      let record = try EvidenceRecord(reading: try store.read(number, SealFileNames.evidence(edition)))
      guard let last = record.tokens.last else { throw SealingError.damaged(seal: number, words: "its evidence record is empty") }
      // An authority whose own certificate ends soon would else be asked anew each day.
      let half = (last.certificateNotAfter - last.genTime) / 2
      guard record.needsRenewal(at: now, marginSeconds: min(Int64(settings.timeStamps.renewalDays) * 86_400, half)) else { return nil }
      let seal = try store.seal(number)
      _ = try record.verify(data: seal.signature, authorities: TimeStampAuthorities(pem: seal.stampAuthorities), at: now)
      return Aging(number: number, edition: edition, record: record)
    } catch {
      throw error as? SealingError ?? .damaged(seal: number, words: "\(error)")
    }
  }

  /// Has records stamped together.
  /// - Returns: what was done; nil when no authority gave a stamp.
  private func renew(_ aging: [Aging], _ client: inout StampClient) throws -> String? {
    let renewal = try EvidenceRecord.renewTogether(aging.map(\.record))
    guard let stamp = client.stamp(renewal.imprint) else { return nil }
    for (one, record) in zip(aging, try renewal.finish(stamp.token)) {
      let (old, new) = (SealFileNames.evidence(one.edition), SealFileNames.evidence(one.edition + 1))
      let octets = record.octets
      let name = try store.put(authorities: stamp.authorities, one.number)
      try store.put(octets, one.number, new)
      try store.list(
        one.number,
        [name: Hex.encode(SHA256.digest(stamp.authorities)), new: Hex.encode(SHA256.digest(octets)), old: nil])
    }
    return "stamps of \(Sealer.words(aging.map(\.number))) renewed by \(stamp.token.authority), serial number \(stamp.token.serial)"
  }
}
