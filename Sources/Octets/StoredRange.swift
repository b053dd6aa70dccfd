/// Where octets lie in the spool: a row of the ledger names them by this, and nothing else does.
public struct StoredRange: Sendable, Hashable, Codable {
  /// Number of the segment file.
  public var segment: UInt32
  /// Offset of the first octet in the segment file.
  public var offset: UInt64
  /// How many octets.
  public var length: UInt64

  /// A range of a segment.
  public init(segment: UInt32, offset: UInt64, length: UInt64) {
    self.segment = segment
    self.offset = offset
    self.length = length
  }

  /// The octets of `range`, counted from the start of this one.
  public subscript(range: Range<UInt64>) -> StoredRange {
    precondition(range.upperBound <= length, "a slice outside of its range")
    return StoredRange(segment: segment, offset: offset + range.lowerBound, length: range.upperBound - range.lowerBound)
  }
}
