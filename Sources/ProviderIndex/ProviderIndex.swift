import FoundationEssentials
import PEC
import Synchronization

/// Keeps the provider index: a file in LDIF, plain or signed, read at start and on demand or replaced by what was fetched, of which any
/// thread may take the snapshot that holds.
///
/// What cannot be read, is not signed as it must be, has no usable record, or loses too much of what was listed changes nothing. The
/// octets of the last index that was accepted are kept as they came, so that a restart over a broken file finds an index too, and its
/// signature can be checked again (pec-rules 10.4).
public final class ProviderIndex: Sendable {
  /// Octets of an index file at the most.
  public static let maximumBytes = 256 * 1024 * 1024
  /// Hours after which an index that is fetched is too old (RFC 6109 §4.5 has it daily; pec-rules 10.4).
  public static let staleHours: Int64 = 48

  /// The file; what is fetched replaces it.
  public let path: String
  /// Where the last good copy is kept.
  public let copyPath: String
  /// Folder of the indexes of the past; nil when none are kept.
  public let historyPath: String?

  private let maximumLossPercent: Int
  private let reading: IndexReading
  private let now: @Sendable () -> Int64
  private let current: Mutex<State>
  /// Held while loading, so that two reloads do not cross; readers of the snapshot never wait for it. True once something was loaded.
  private let loading = Mutex(false)

  private struct State {
    var directory = ProviderDirectory.empty
    var confirmedUnixSeconds: Int64?
  }

  /// An index that lists nobody until `reload` or `accept` was called.
  /// - Parameters:
  ///   - copyPath: where the last good copy is kept; beside the file, with `.last-good` after its name, when nil.
  ///   - historyPath: folder where each accepted index is kept by its date, 60 of them.
  ///   - maximumLossPercent: domains that may vanish at once without the operator's word.
  ///   - requiresSignature: refuse an index that is not signed.
  ///   - digest: SHA-1 of octets in lower-case hexadecimal, to check records' hashes against their certificates.
  ///   - opening: opens a signed index, or throws why not; it is called by the thread that loads.
  ///   - now: the time in Unix seconds.
  public init(
    path: String, copyPath: String? = nil, historyPath: String? = nil, maximumLossPercent: Int = 5, requiresSignature: Bool = false,
    digest: IndexReading.Digest? = nil, opening: IndexReading.Opening? = nil,
    now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970) }
  ) {
    self.path = path
    self.copyPath = copyPath ?? path + ".last-good"
    self.historyPath = historyPath
    self.maximumLossPercent = maximumLossPercent
    reading = IndexReading(requiresSignature: requiresSignature, opening: opening, digest: digest)
    self.now = now
    current = Mutex(State())
  }

  /// The index that holds now: immutable, cheap to take, and good for a whole transaction.
  public var snapshot: ProviderDirectory { current.withLock { $0.directory } }

  /// Reads the file. What it says holds from then on, or nothing changes; the report says which and why.
  /// - Parameter allowingLosses: the operator's word that domains and certificates may vanish.
  public func reload(allowingLosses: Bool = false) -> IndexReport {
    loading.withLock { hasLoaded in
      conclude(reading.attempt(path: path), from: nil, allowingLosses: allowingLosses, &hasLoaded)
    }
  }

  /// Takes an index that was fetched, by the same rules as the file; accepted, it replaces the file.
  /// - Parameters:
  ///   - octets: as they came, signed or plain.
  ///   - origin: where from, for the log.
  ///   - allowingLosses: the operator's word that domains and certificates may vanish.
  public func accept(_ octets: [UInt8], from origin: String, allowingLosses: Bool = false) -> IndexReport {
    loading.withLock { hasLoaded in
      conclude(reading.attempt(octets), from: origin, allowingLosses: allowingLosses, &hasLoaded)
    }
  }

  /// Says that the index is still what its publisher has (an answer that nothing changed). Does nothing while there is none.
  public func confirmUnchanged() {
    let time = now()
    loading.withLock { hasLoaded in
      guard hasLoaded else { return }
      current.withLock { $0.confirmedUnixSeconds = time }
      for file in [path, copyPath] { IndexFiles.touch(file, unixSeconds: time) }
    }
  }

  /// When the index that holds was last known to be its publisher's: fetched, confirmed, or written as a file. Unix seconds.
  public var confirmedUnixSeconds: Int64? { current.withLock { $0.confirmedUnixSeconds } }

  /// A line for the log when the index has not been refreshed for 48 hours; nil while all is well, or there is no index.
  public func staleLine(at unixSeconds: Int64) -> String? {
    guard let confirmed = confirmedUnixSeconds, unixSeconds - confirmed > ProviderIndex.staleHours * 3600 else { return nil }
    return "provider index not refreshed for \((unixSeconds - confirmed) / 3600) hours"
  }

  /// The index that held at an instant, from the history; nil when none so old is kept, or it cannot be read.
  public func directory(at unixSeconds: Int64) -> ProviderDirectory? {
    guard let historyPath, let item = IndexHistory(folder: historyPath).item(at: unixSeconds) else { return nil }
    let attempt = reading.attempt(path: item.path)
    return attempt.failure == nil ? attempt.directory : nil
  }

  /// Reads a file for somebody who only wants to know: no copy is taken or kept, nothing is written.
  public static func inspect(
    path: String, reading: IndexReading = IndexReading()
  ) -> (directory: ProviderDirectory, report: IndexReport) {
    let attempt = reading.attempt(path: path)
    let report = IndexReport(
      outcome: attempt.failure.map { .nothing(reason: $0) } ?? .loaded, recordCount: attempt.directory.records.count,
      domainCount: attempt.directory.domainCount, problems: attempt.problems)
    return (attempt.directory, report)
  }

  /// What would change, and why it would not be taken without the operator's word: for somebody who only wants to know.
  public static func compare(
    _ old: ProviderDirectory, with new: ProviderDirectory, problems: [IndexProblem] = [], maximumLossPercent: Int = 5
  ) -> (changes: [String], loss: String?) {
    let changes = IndexChanges(from: old, to: new)
    return (changes.lines, changes.loss(maximumPercent: maximumLossPercent, problems: problems))
  }

  // MARK: Deciding

  private func conclude(
    _ attempt: IndexReading.Attempt, from origin: String?, allowingLosses: Bool, _ hasLoaded: inout Bool
  ) -> IndexReport {
    // After a start, the last good copy is what a new index is measured by: a restart is no way around the guard.
    let copy = hasLoaded ? nil : lastGood(besides: attempt)
    let changes = (hasLoaded ? snapshot : copy?.directory).map { IndexChanges(from: $0, to: attempt.directory) }
    var report = IndexReport(outcome: .loaded, recordCount: 0, domainCount: 0, problems: attempt.problems, origin: origin)
    var failure = attempt.failure
    if failure == nil, !allowingLosses, let changes,
      let loss = changes.loss(maximumPercent: maximumLossPercent, problems: attempt.problems)
    {
      failure = loss
      report.needsConfirmation = true
      report.changes = changes.lines
    }
    if let reason = failure {
      if hasLoaded {
        report.outcome = .keptPrevious(reason: reason)
      } else if let copy {
        hold(copy.directory, since: copy.writtenUnixSeconds)
        hasLoaded = true
        report.outcome = .loadedLastGood(reason: reason)
      } else {
        report.outcome = .nothing(reason: reason)
      }
    } else {
      let time = now()
      hold(attempt.directory, since: origin == nil ? attempt.writtenUnixSeconds : time)
      hasLoaded = true
      report.changes = changes?.lines ?? []
      report.copyFailure = keep(attempt.octets, isFetched: origin != nil, at: time)
    }
    let directory = snapshot
    report.recordCount = directory.records.count
    report.domainCount = directory.domainCount
    return report
  }

  private func hold(_ directory: ProviderDirectory, since unixSeconds: Int64?) {
    current.withLock { $0 = State(directory: directory, confirmedUnixSeconds: unixSeconds) }
  }

  /// The copy on disk, where it is of use and not just what was read anyway.
  private func lastGood(besides attempt: IndexReading.Attempt) -> IndexReading.Attempt? {
    guard case .success(let file) = IndexFiles.read(copyPath), file.octets != attempt.octets else { return nil }
    var copy = reading.attempt(file.octets)
    copy.writtenUnixSeconds = file.writtenUnixSeconds
    return copy.failure == nil ? copy : nil
  }

  /// Keeps what was accepted; returns what could not be written.
  private func keep(_ octets: [UInt8], isFetched: Bool, at time: Int64) -> String? {
    var failures: [String] = []
    if let failure = IndexFiles.replace(copyPath, with: octets) { failures.append(failure) }
    if isFetched {
      if let failure = IndexFiles.replace(path, with: octets) { failures.append(failure) }
      for file in [path, copyPath] { IndexFiles.touch(file, unixSeconds: time) }
    }
    if let historyPath {
      let isPlain = IndexReading.looksPlain(octets)
      if let failure = IndexHistory(folder: historyPath).add(octets, isPlain: isPlain, unixSeconds: time) { failures.append(failure) }
    }
    return failures.isEmpty ? nil : failures.joined(separator: "; ")
  }
}
