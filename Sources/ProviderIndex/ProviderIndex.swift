import FoundationEssentials
import PEC
import Synchronization

/// Keeps the provider index: a file in LDIF, read at start and on demand, of which any thread may take the snapshot that holds.
///
/// A file that cannot be read, or in which no record is usable, changes nothing. The octets of the last file that was accepted are kept
/// beside it, so that a restart over a broken file finds an index too (pec-rules 10.4).
public final class ProviderIndex: Sendable {
  /// Octets of an index file at the most.
  public static let maximumBytes = 256 * 1024 * 1024

  /// The file.
  public let path: String
  /// Where its last good copy is kept.
  public let copyPath: String

  private let current: Mutex<ProviderDirectory>
  /// Held while loading, so that two reloads do not cross; readers of the snapshot never wait for it.
  private let loading = Mutex(false)

  /// An index that lists nobody until `reload` was called.
  /// - Parameter copyPath: where the last good copy is kept; beside the file, with `.last-good` after its name, when nil.
  public init(path: String, copyPath: String? = nil) {
    self.path = path
    self.copyPath = copyPath ?? path + ".last-good"
    current = Mutex(.empty)
  }

  /// The index that holds now: immutable, cheap to take, and good for a whole transaction.
  public var snapshot: ProviderDirectory { current.withLock { $0 } }

  /// Reads the file. What it says holds from then on, or nothing changes; the report says which and why.
  public func reload() -> IndexReport {
    loading.withLock { hasLoaded in
      let attempt = ProviderIndex.attempt(path)
      guard let reason = attempt.failure else {
        current.withLock { $0 = attempt.directory }
        hasLoaded = true
        return report(.loaded, attempt.problems, copyFailure: keepCopy(attempt.octets))
      }
      if hasLoaded { return report(.keptPrevious(reason: reason), attempt.problems) }
      let copy = ProviderIndex.attempt(copyPath)
      guard copy.failure == nil else { return report(.nothing(reason: reason), attempt.problems) }
      current.withLock { $0 = copy.directory }
      hasLoaded = true
      return report(.loadedLastGood(reason: reason), attempt.problems)
    }
  }

  /// Reads a file for somebody who only wants to know: no copy is taken or kept, nothing is written.
  public static func inspect(path: String) -> (directory: ProviderDirectory, report: IndexReport) {
    let attempt = attempt(path)
    let report = IndexReport(
      outcome: attempt.failure.map { .nothing(reason: $0) } ?? .loaded, recordCount: attempt.directory.records.count,
      domainCount: attempt.directory.domainCount, problems: attempt.problems)
    return (attempt.directory, report)
  }

  /// What reading a file gave; `failure` says why it is of no use.
  private struct Attempt {
    var directory = ProviderDirectory.empty
    var problems: [IndexProblem] = []
    var octets: [UInt8] = []
    var failure: String?
  }

  private static func attempt(_ path: String) -> Attempt {
    switch read(path) {
    case .failure(let failure): return Attempt(failure: failure.reason)
    case .success(let octets):
      let (directory, problems) = ProviderDirectory.parse(ldif: octets)
      let failure = octets.isEmpty ? "the file is empty" : directory.isEmpty ? "no record of the file is usable" : nil
      return Attempt(directory: directory, problems: problems, octets: octets, failure: failure)
    }
  }

  private func report(_ outcome: IndexReport.Outcome, _ problems: [IndexProblem], copyFailure: String? = nil) -> IndexReport {
    let directory = snapshot
    return IndexReport(
      outcome: outcome, recordCount: directory.records.count, domainCount: directory.domainCount, problems: problems,
      copyFailure: copyFailure)
  }

  private struct ReadFailure: Error {
    var reason: String
  }

  private static func read(_ path: String) -> Result<[UInt8], ReadFailure> {
    do {
      let attributes = try FileManager.default.attributesOfItem(atPath: URL(filePath: path).resolvingSymlinksInPath().path)
      // A pipe or device would be read for ever.
      guard attributes[.type] as? FileAttributeType == .typeRegular else {
        return .failure(ReadFailure(reason: "\(path) is not a file"))
      }
      guard let size = attributes[.size] as? Int, size <= maximumBytes else {
        return .failure(ReadFailure(reason: "\(path) is larger than \(maximumBytes / 1_048_576) MB"))
      }
      return .success(Array(try Data(contentsOf: URL(filePath: path))))
    } catch {
      return .failure(ReadFailure(reason: "\(path) cannot be read: \(describe(error))"))
    }
  }

  /// Writes the copy by a temporary file and a rename, so that a crash leaves the old one or the new one.
  private func keepCopy(_ octets: [UInt8]) -> String? {
    if case .success(let old) = ProviderIndex.read(copyPath), old == octets { return nil }
    do {
      try Data(octets).write(to: URL(filePath: copyPath), options: .atomic)
      return nil
    } catch {
      return "\(copyPath): \(ProviderIndex.describe(error))"
    }
  }

  private static func describe(_ error: any Error) -> String {
    if let posix = (error as? CocoaError)?.underlying as? POSIXError { return "\(posix.code)" }
    return "\(error)"
  }
}
