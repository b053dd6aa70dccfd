/// Gathers lines that end in LF, up to a bound.
struct LineBuffer: Sendable {
  private var pending: [UInt8] = []
  private let limit: Int

  /// - Parameter limit: octets of a line without its LF above which it is too long.
  init(limit: Int) { self.limit = limit }

  /// Takes octets and gives the lines that they complete, without their LF; and whether the next line is too long.
  mutating func take(_ octets: Span<UInt8>) -> (lines: [[UInt8]], isTooLong: Bool) {
    var lines: [[UInt8]] = []
    for index in octets.indices {
      let octet = octets[index]
      if octet == 10 {
        lines.append(pending)
        pending.removeAll(keepingCapacity: true)
      } else {
        guard pending.count < limit else { return (lines, true) }
        pending.append(octet)
      }
    }
    return (lines, false)
  }
}
