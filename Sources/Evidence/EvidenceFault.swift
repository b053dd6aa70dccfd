/// Octets that are not in the form that this room writes.
public enum EvidenceError: Error, Sendable, Equatable, CustomStringConvertible {
  /// At that octet something else should stand.
  case malformed(offset: Int, expected: String)
  /// Readable, but not what would have been written: from that octet on.
  case notCanonical(offset: Int)
  /// A row does not follow the one before it.
  case notConsecutive(expected: Int64, found: Int64)
  /// More rows than a seal may cover (`SealManifest.maximumRows`).
  case tooManyRows

  /// For people.
  public var description: String {
    switch self {
    case .malformed(let offset, let expected): "octet \(offset): \(expected) expected"
    case .notCanonical(let offset): "octet \(offset): not in the canonical form"
    case .notConsecutive(let expected, let found): "row \(found) stands where row \(expected) should"
    case .tooManyRows: "more rows than a seal may cover"
    }
  }
}

/// Something that is not as it was written, with its place.
public struct EvidenceFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Kind: String, Sendable, CaseIterable {
    /// The row is not what it was.
    case changed
    /// The row is not there.
    case missing
    /// The row is there and was not before.
    case added
    /// The row stands elsewhere.
    case moved
    /// The chain value stored for the row is not what it was, is missing or stands elsewhere; the row itself may be whole.
    case chainChanged = "chain value changed"
    /// The row or the chain value beside it is not what it was: which of them cannot be told.
    case unclear = "row or chain value changed"
    /// The rows have another Merkle root than the seal says.
    case rootDiffers = "root differs"
    /// There are not as many rows, or chain lines, as the seal says.
    case countDiffers = "count differs"
    /// The chain does not begin or end as the seal says.
    case chainDiffers = "chain differs"
    /// A seal does not follow the one before it, or does not fit its rows.
    case sealDiffers = "seal differs"
  }

  public var kind: Kind
  /// Number of the row it is about.
  public var row: Int64?
  /// Line of the file, from 1, where it was seen.
  public var line: Int?
  /// What was seen, in words.
  public var detail: String

  /// A fault of that kind and place.
  public init(_ kind: Kind, row: Int64? = nil, line: Int? = nil, detail: String) {
    self.kind = kind
    self.row = row
    self.line = line
    self.detail = detail
  }

  /// `row 17 (line 3): changed: …`.
  public var description: String {
    let place = [row.map { "row \($0)" }, line.map { row == nil ? "line \($0)" : "(line \($0))" }].compactMap { $0 }.joined(separator: " ")
    return (place.isEmpty ? "" : "\(place): ") + "\(kind.rawValue): \(detail)"
  }
}
