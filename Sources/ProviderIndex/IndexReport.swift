import PEC

/// What came of loading the provider index.
public struct IndexReport: Sendable, Equatable {
  /// What was done with the file.
  public enum Outcome: Sendable, Equatable {
    /// The file's index holds now.
    case loaded
    /// The file is of no use; the index that was in memory still holds.
    case keptPrevious(reason: String)
    /// The file is of no use; the last good copy on disk holds.
    case loadedLastGood(reason: String)
    /// Neither the file nor a copy is of use: nobody is certified.
    case nothing(reason: String)
  }

  public var outcome: Outcome
  /// Main records and secondary environments of the index that holds now.
  public var recordCount: Int
  /// Certified domains of the index that holds now.
  public var domainCount: Int
  /// What was wrong in the file, with its lines.
  public var problems: [IndexProblem]
  /// Why the last good copy could not be written; nil when it was, or needed not be.
  public var copyFailure: String?
  /// Where the index was fetched; nil when it is the file.
  public var origin: String?
  /// What is otherwise than in the index before, one line each: what changed, or would change with the operator's word.
  public var changes: [String]
  /// True when the index is good but loses so much that the operator must say that it may.
  public var needsConfirmation: Bool

  /// A report of one reading.
  public init(
    outcome: Outcome, recordCount: Int, domainCount: Int, problems: [IndexProblem], copyFailure: String? = nil,
    origin: String? = nil, changes: [String] = [], needsConfirmation: Bool = false
  ) {
    self.outcome = outcome
    self.recordCount = recordCount
    self.domainCount = domainCount
    self.problems = problems
    self.copyFailure = copyFailure
    self.origin = origin
    self.changes = changes
    self.needsConfirmation = needsConfirmation
  }

  /// True when what was read holds now.
  public var isLoaded: Bool { outcome == .loaded }

  /// Lines for a log or terminal: what holds, then each change and each problem.
  public var lines: [String] {
    let counts = "\(recordCount) records, \(domainCount) domains"
    let index = origin.map { "provider index from \($0)" } ?? "provider index"
    var lines: [String]
    switch outcome {
    case .loaded: lines = ["\(index) loaded: \(counts)"]
    case .keptPrevious(let reason): lines = ["\(index) not loaded: \(reason); the one in memory stays: \(counts)"]
    case .loadedLastGood(let reason): lines = ["\(index) not loaded: \(reason); the last good copy is used: \(counts)"]
    case .nothing(let reason): lines = ["\(index) not loaded: \(reason); every recipient is ordinary"]
    }
    lines += changes.map { needsConfirmation ? "would change: \($0)" : $0 }
    lines += problems.map(\.description)
    if let copyFailure { lines.append("last good copy of the provider index not written: \(copyFailure)") }
    return lines
  }
}
