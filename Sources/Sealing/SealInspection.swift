/// Something about a seal, or a row of the log, that is not as it was.
public struct SealFault: Sendable, Equatable, CustomStringConvertible {
  /// The seal it was found in; nil when it is about the ledger's rows, or the folder of seals.
  public var seal: Int64?
  /// The row of the log, where it is about one.
  public var row: Int64?
  /// The file in the seal's folder, where it is about one.
  public var file: String?
  /// What is wrong.
  public var words: String

  /// A fault of that place.
  public init(seal: Int64?, row: Int64? = nil, file: String? = nil, words: String) {
    self.seal = seal
    self.row = row
    self.file = file
    self.words = words
  }

  /// `seal 5, rows.jsonl, row 17: …`.
  public var description: String {
    let place = [seal.map { "seal \($0)" }, file, row.map { "row \($0)" }].compactMap { $0 }
    return place.isEmpty ? words : place.joined(separator: ", ") + ": " + words
  }
}

/// What an inspection found.
public struct SealInspection: Sendable, Equatable {
  /// Most faults that are kept; `faultCount` goes on.
  public static let maximumFaults = 1000

  /// The first faults.
  public private(set) var faults: [SealFault] = []
  /// All of them.
  public private(set) var faultCount = 0
  /// What is worth knowing and no fault: seals without a stamp, rows whose time is over, what an interruption left.
  public internal(set) var remarks: [String] = []
  /// Seals that were looked at.
  public internal(set) var seals = 0
  /// Rows that were looked at.
  public internal(set) var rows: Int64 = 0

  /// Nothing looked at so far.
  public init() {}

  /// True when nothing is wrong.
  public var isWhole: Bool { faultCount == 0 }

  mutating func add(_ fault: SealFault) {
    faultCount += 1
    if faults.count < SealInspection.maximumFaults { faults.append(fault) }
  }
}
