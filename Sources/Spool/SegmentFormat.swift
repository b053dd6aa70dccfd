internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// The segment file's form on disk. All numbers are little-endian; what is here is for ever: a change is a new version.
///
///     file    header 64: "CERSPOOL", version u32, segment u32, file octets u64, salt u32, CRC-32C of these 28, zeros
///     record  header 32: "CREC", version u8, code u8, zero u16, segment u32, salt u32, length u64, zero u32, CRC-32C of these 28
///             the payload
///             trailer 8: CRC-32C of header and payload u32, "CEND"; then zeros up to a multiple of 8
///
/// Segment number and salt (drawn for each use of a file) in every record keep the leavings of a recycled file from
/// being taken for records of the segment that it has become.
enum SegmentFormat {
  static let version: UInt32 = 1
  static let fileHeaderBytes = 64
  static let recordHeaderBytes = 32
  static let trailerBytes = 8
  static let recordVersion: UInt8 = 1
  /// The only record code so far: octets of a message.
  static let octetsCode: UInt8 = 1
  private static let fileMagic = [UInt8](utf8: "CERSPOOL")
  private static let recordMagic = [UInt8](utf8: "CREC")
  private static let endMark = [UInt8](utf8: "CEND")

  /// Octets that a record with a payload of `length` takes in the file; nil when there is no such number.
  static func recordBytes(_ length: Int) -> Int? {
    let (sum, overflow) = length.addingReportingOverflow(recordHeaderBytes + trailerBytes + 7)
    return overflow || length < 0 ? nil : sum & ~7
  }

  static func fileHeader(segment: UInt32, fileBytes: Int, salt: UInt32) -> [UInt8] {
    var out = fileMagic
    out.append(little: version)
    out.append(little: segment)
    out.append(little: UInt64(fileBytes))
    out.append(little: salt)
    out.append(little: checksum(out))
    out.append(contentsOf: [UInt8](repeating: 0, count: fileHeaderBytes - out.count))
    return out
  }

  static func recordHeader(segment: UInt32, salt: UInt32, length: Int) -> [UInt8] {
    var out = recordMagic
    out.append(contentsOf: [recordVersion, octetsCode, 0, 0])
    out.append(little: segment)
    out.append(little: salt)
    out.append(little: UInt64(length))
    out.append(little: UInt32(0))
    out.append(little: checksum(out))
    return out
  }

  /// What follows a payload: checksum, end mark and the zeros up to the next record.
  static func trailer(checksum: UInt32, length: Int) -> [UInt8] {
    var out: [UInt8] = []
    out.append(little: checksum)
    out.append(contentsOf: endMark)
    out.append(contentsOf: [UInt8](repeating: 0, count: (8 - length & 7) & 7))
    return out
  }

  /// Reads a file header; the salt when it is that of `segment`.
  static func salt(ofFile bytes: Span<UInt8>, segment: UInt32) -> Result<UInt32, SegmentFault> {
    guard bytes.count >= fileHeaderBytes, bytes.holds(fileMagic, at: 0) else { return .failure(SegmentFault(.foreignSegment)) }
    let found = bytes.little32(at: 8)
    guard found == version else { return .failure(SegmentFault(.unknownVersion(found))) }
    guard bytes.little32(at: 28) == checksum(bytes.extracting(0..<28)), bytes.little32(at: 12) == segment else {
      return .failure(SegmentFault(.foreignSegment))
    }
    return .success(bytes.little32(at: 24))
  }

  /// The record that begins at `offset`; nil when none begins there.
  static func record(in bytes: Span<UInt8>, at offset: Int, segment: UInt32, salt: UInt32) -> RecordPlace? {
    guard offset >= fileHeaderBytes, offset <= bytes.count - recordHeaderBytes - trailerBytes, bytes.holds(recordMagic, at: offset) else {
      return nil
    }
    guard bytes.little32(at: offset + 28) == checksum(bytes.extracting(offset..<offset + 28)),
      bytes.little32(at: offset + 8) == segment, bytes.little32(at: offset + 12) == salt
    else { return nil }
    let length = bytes.little64(at: offset + 16)
    let payload = offset + recordHeaderBytes
    guard length <= UInt64(bytes.count - payload - trailerBytes) else { return nil }
    return RecordPlace(header: offset, length: Int(length), version: bytes[offset + 4], code: bytes[offset + 5])
  }

  /// Whether a record holds what was written; nil when it does.
  static func fault(of place: RecordPlace, in bytes: Span<UInt8>) -> SpoolFault? {
    guard place.version == recordVersion, place.code == octetsCode else {
      return .unknownRecord(version: place.version, code: place.code)
    }
    guard bytes.holds(endMark, at: place.payloadEnd + 4) else { return .endMark }
    guard bytes.little32(at: place.payloadEnd) == checksum(bytes.extracting(place.header..<place.payloadEnd)) else { return .checksum }
    return nil
  }

  /// The record whose payload holds `range`, when it holds what was written.
  ///
  /// - Parameter isReadable: asked before octets are looked at, whether the disk gives them; it may be asked again about the same.
  static func soundRecord(
    holding range: Range<Int>, in bytes: Span<UInt8>, segment: UInt32, salt: UInt32, isReadable: (Range<Int>) -> Bool
  ) -> Result<RecordPlace, SegmentFault> {
    do throws(SegmentFault) {
      let near = try nearestRecord(before: range, in: bytes, segment: segment, salt: salt, isReadable: isReadable)
      if let near {
        guard isReadable(near.header..<min(near.next, bytes.count)) else { throw SegmentFault(.unreadableSegment(code: EIO)) }
        if fault(of: near, in: bytes) == nil { return .success(near) }
      }
      // Before the file is called damaged the chain of records is asked: a body may contain what looks like a record of this very file.
      guard isReadable(0..<bytes.count) else { throw SegmentFault(.unreadableSegment(code: EIO)) }
      let index = SegmentIndex(bytes, segment: segment, salt: salt)
      guard let record = index.record(holding: range) else { throw SegmentFault(.noRecord) }
      if let fault = fault(of: index.places[record], in: bytes) { throw SegmentFault(fault) }
      return .success(index.places[record])
    } catch {
      return .failure(error)
    }
  }

  /// The record that begins nearest before `range`, when its payload holds the range.
  ///
  /// Most ranges are a whole record, whose header stands just before. The header of a part is looked for backwards: that reads nothing
  /// which the checksum would not read too, needs no other record of the file, and gets over damage in those before. (A walk from the
  /// start of the file would touch each of its pages.)
  private static func nearestRecord(
    before range: Range<Int>, in bytes: Span<UInt8>, segment: UInt32, salt: UInt32, isReadable: (Range<Int>) -> Bool
  ) throws(SegmentFault) -> RecordPlace? {
    var at = (range.lowerBound - recordHeaderBytes) & ~7
    var known = at + recordHeaderBytes
    // What is asked for at once grows: most headers are near.
    var step = 0
    while at >= fileHeaderBytes {
      if at < known {
        let lower = max(0, at - step)
        step = min(max(4096, step * 4), 1 << 20)
        guard isReadable(lower..<known) else { throw SegmentFault(.unreadableSegment(code: EIO)) }
        known = lower
      }
      if bytes[at] == UInt8(ascii: "C"), let place = record(in: bytes, at: at, segment: segment, salt: salt) {
        return range.upperBound <= place.payloadEnd ? place : nil
      }
      at -= 8
    }
    return nil
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 { checksum(bytes.span) }

  private static func checksum(_ bytes: Span<UInt8>) -> UInt32 {
    var crc = CRC32C()
    crc.update(bytes)
    return crc.value
  }
}

/// A fault as an error, for `Result`.
struct SegmentFault: Error {
  let fault: SpoolFault
  init(_ fault: SpoolFault) { self.fault = fault }
}

/// Where a record lies in its segment, by its header alone.
struct RecordPlace: Equatable {
  let header: Int
  let length: Int
  let version: UInt8
  let code: UInt8

  var payload: Int { header + SegmentFormat.recordHeaderBytes }
  var payloadEnd: Int { payload + length }
  /// Where the next record begins.
  var next: Int { (payloadEnd + SegmentFormat.trailerBytes + 7) & ~7 }
}

/// The records of a segment, found by going from header to header. Made once for many questions.
struct SegmentIndex {
  private(set) var places: [RecordPlace] = []

  init(_ bytes: Span<UInt8>, segment: UInt32, salt: UInt32) {
    var at = SegmentFormat.fileHeaderBytes
    while let place = SegmentFormat.record(in: bytes, at: at, segment: segment, salt: salt) {
      places.append(place)
      at = place.next
    }
  }

  /// Index of the record whose payload holds `range`.
  func record(holding range: Range<Int>) -> Int? {
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle].payload <= range.lowerBound { low = middle + 1 } else { high = middle }
    }
    // The last record that begins at or before the range; it holds all of it or nothing does.
    guard low > 0, range.upperBound <= places[low - 1].payloadEnd else { return nil }
    return low - 1
  }
}

extension [UInt8] {
  fileprivate mutating func append(little value: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }
}

extension Span where Element == UInt8 {
  fileprivate func little32(at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(self[offset + index]) << (8 * UInt32(index)) }
    return value
  }

  fileprivate func little64(at offset: Int) -> UInt64 {
    UInt64(little32(at: offset)) | UInt64(little32(at: offset + 4)) << 32
  }

  fileprivate func holds(_ mark: [UInt8], at offset: Int) -> Bool {
    for index in mark.indices where self[offset + index] != mark[index] { return false }
    return true
  }
}
