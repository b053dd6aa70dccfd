internal import CLibclamav

/// The octets of a layer as libclamav has them, for the length of a callback; nothing is read outside of them.
@safe
struct LayerOctets {
  private let start: UnsafeRawPointer
  let count: Int

  /// `count` octets that stay where they are for as long as this is used.
  @unsafe
  init(start: UnsafeRawPointer, count: Int) {
    unsafe self.start = start
    self.count = max(0, count)
  }

  /// `bytes` octets (8 at most) from `offset` as a number, the lowest first; nil when they are not all there.
  func number(at offset: Int, bytes: Int) -> UInt64? {
    guard offset >= 0, bytes <= 8, count >= bytes, offset <= count - bytes else { return nil }
    var number: UInt64 = 0
    for at in (0..<bytes).reversed() { number = number << 8 | UInt64(unsafe start.load(fromByteOffset: offset + at, as: UInt8.self)) }
    return number
  }

  /// A number of 16 bits.
  func short(at offset: Int) -> Int? { number(at: offset, bytes: 2).map(Int.init) }

  /// Where `pattern` stands at `offset` or after.
  func find(_ pattern: [UInt8], from offset: Int) -> Int? {
    guard offset >= 0, offset < count else { return nil }
    let found = unsafe pattern.withUnsafeBytes { wanted in
      unsafe ceralacca_find(start, count, offset, wanted.baseAddress, wanted.count)
    }
    return found < 0 ? nil : found
  }

  /// CRC-32 as of zip, 7z and RAR; nil when the octets are not all there.
  func checksum(_ range: Range<Int>) -> UInt32? {
    guard range.lowerBound >= 0, range.upperBound <= count else { return nil }
    var sum = ~UInt32(0)
    for at in range {
      sum ^= UInt32(unsafe start.load(fromByteOffset: at, as: UInt8.self))
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
    return ~sum
  }
}

extension LayerOctets {
  // MARK: Zip

  /// What libclamav inflates: stored, shrunk, imploded, deflated, deflated with 64 KiB, bzip2.
  private static let zipMethods: Set<Int> = [0, 1, 6, 8, 9, 12]
  /// AES; the method proper stands elsewhere, and libclamav names the encryption.
  private static let zipAES = 99
  /// Versions go up to 6.3, methods to 99; all else is not a header.
  private static let zipMaximum = 99

  /// True when a header of a zip, in the front or in the directory, names a method that libclamav does not know.
  var hasUnknownZipMethod: Bool {
    hasUnknownZipMethod([0x50, 0x4B, 3, 4], versionAt: 4, nameLengthAt: 26, headerBytes: 30)
      || hasUnknownZipMethod([0x50, 0x4B, 1, 2], versionAt: 6, nameLengthAt: 28, headerBytes: 46)
  }

  private func hasUnknownZipMethod(_ signature: [UInt8], versionAt: Int, nameLengthAt: Int, headerBytes: Int) -> Bool {
    var next = 0
    while let at = find(signature, from: next) {
      next = at + signature.count
      guard let version = short(at: at + versionAt), let flags = short(at: at + versionAt + 2),
        let method = short(at: at + versionAt + 4), let nameBytes = short(at: at + nameLengthAt)
      else { continue }
      // The upper octet of the version may name a system, of which there are twenty.
      guard version & 0xFF <= Self.zipMaximum, version >> 8 <= 20, method <= Self.zipMaximum, nameBytes > 0,
        at + headerBytes + nameBytes <= count
      else { continue }
      // What is encrypted libclamav names by itself.
      if flags & 1 == 0, !Self.zipMethods.contains(method) { return true }
    }
    return false
  }

  // MARK: Archives behind something else

  /// More than these in one layer need no further proof: nobody writes them by chance.
  private static let maximumCandidates = 1000

  /// True when a whole signature header of a 7z stands after the layer's beginning.
  var hasInner7z: Bool {
    hasInner([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C]) { at in
      guard let sum = number(at: at + 8, bytes: 4), let real = checksum(at + 12..<at + 32) else { return false }
      return sum == UInt64(real)
    }
  }

  /// True when a RAR's mark with a whole first header stands after the layer's beginning.
  var hasInnerRAR: Bool {
    hasInner([0x52, 0x61, 0x72, 0x21, 0x1A, 0x07]) { at in
      switch number(at: at + 6, bytes: 1) {
      case 0:
        // RAR 4: a sum of 16 bits over what follows it, type 0x73, flags, length.
        guard let sum = short(at: at + 7), number(at: at + 9, bytes: 1) == 0x73, let bytes = short(at: at + 12), 7...512 ~= bytes
        else { return false }
        return checksum(at + 9..<at + 7 + bytes).map { Int($0 & 0xFFFF) == sum } ?? false
      case 1:
        // RAR 5: a sum over the length (of one or two octets of seven bits) and as many octets.
        guard let sum = number(at: at + 8, bytes: 4), let low = short(at: at + 12) else { return false }
        let isLong = low & 0x80 != 0
        let bytes = isLong ? low & 0x7F | (low >> 8 & 0x7F) << 7 : low & 0x7F
        guard 2...512 ~= bytes else { return false }
        return checksum(at + 12..<at + 13 + (isLong ? 1 : 0) + bytes).map { UInt64($0) == sum } ?? false
      default: return false
      }
    }
  }

  private func hasInner(_ signature: [UInt8], _ isReal: (Int) -> Bool) -> Bool {
    var next = 1
    var candidates = 0
    while let at = find(signature, from: next) {
      next = at + signature.count
      candidates += 1
      if candidates > Self.maximumCandidates || isReal(at) { return true }
    }
    return false
  }

  /// A 7z without anything in it: no header at all, or one that has files but no data.
  var isEmpty7z: Bool {
    guard let offset = number(at: 12, bytes: 8), let bytes = number(at: 20, bytes: 8), offset == 0 else { return false }
    return bytes == 0 ? count == 32 : short(at: 32) == 0x0501
  }

  /// A cabinet that names no file.
  var isEmptyCabinet: Bool { short(at: 28) == 0 }
}
