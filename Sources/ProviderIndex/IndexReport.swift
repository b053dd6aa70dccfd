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

  /// A report of one reading.
  public init(outcome: Outcome, recordCount: Int, domainCount: Int, problems: [IndexProblem], copyFailure: String? = nil) {
    self.outcome = outcome
    self.recordCount = recordCount
    self.domainCount = domainCount
    self.problems = problems
    self.copyFailure = copyFailure
  }

  /// True when the file itself holds now.
  public var isLoaded: Bool { outcome == .loaded }

  /// Lines for a log or terminal: what holds, then each problem.
  public var lines: [String] {
    let counts = "\(recordCount) records, \(domainCount) domains"
    var lines: [String]
    switch outcome {
    case .loaded: lines = ["provider index loaded: \(counts)"]
    case .keptPrevious(let reason): lines = ["provider index not loaded: \(reason); the one in memory stays: \(counts)"]
    case .loadedLastGood(let reason): lines = ["provider index not loaded: \(reason); the last good copy is used: \(counts)"]
    case .nothing(let reason): lines = ["provider index not loaded: \(reason); every recipient is ordinary"]
    }
    lines += problems.map(\.description)
    if let copyFailure { lines.append("last good copy of the provider index not written: \(copyFailure)") }
    return lines
  }
}
