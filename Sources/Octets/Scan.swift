internal import CPlatform

/// Searches in octets by the C library's vectorised routines: one call for each buffer, never a loop for each octet.
public enum Scan {
  /// Offset of the first `byte` in `span` at or after `start`, or nil.
  public static func first(_ byte: UInt8, in span: Span<UInt8>, from start: Int = 0) -> Int? {
    unsafe span.withUnsafeBufferPointer { bytes in
      guard start < bytes.count else { return nil }
      let hit = unsafe ceralacca_find_byte(bytes.baseAddress! + start, bytes.count - start, byte)
      return hit < 0 ? nil : start + hit
    }
  }

  /// Offset of the first occurrence of `needle` in `span` at or after `start`, or nil.
  public static func first(_ needle: [UInt8], in span: Span<UInt8>, from start: Int = 0) -> Int? {
    unsafe span.withUnsafeBufferPointer { bytes in
      guard start < bytes.count else { return nil }
      let hit = unsafe needle.withUnsafeBufferPointer { sought in
        unsafe ceralacca_find_bytes(bytes.baseAddress! + start, bytes.count - start, sought.baseAddress, sought.count)
      }
      return hit < 0 ? nil : start + hit
    }
  }

  /// True when any octet is above 127.
  public static func hasHighBit(_ span: Span<UInt8>) -> Bool {
    unsafe span.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe ceralacca_has_high_bit(base, bytes.count) != 0
    }
  }
}

/// CRC-32C over octets, continued piece by piece.
public struct CRC32C: Sendable {
  /// The checksum of all that was fed.
  public private(set) var value: UInt32 = 0

  /// A checksum of nothing.
  public init() {}

  /// Continues with `span`.
  public mutating func update(_ span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress { unsafe value = ceralacca_crc32c(value, base, bytes.count) }
    }
  }
}
