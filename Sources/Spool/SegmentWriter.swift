internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// The files that are being written: the one that takes appends, and those that were filled since the last sync.
struct SegmentWriter: Sendable {
  /// A segment file open for writing.
  struct Open: Sendable {
    let number: UInt32
    let path: String
    let descriptor: Int32
    let salt: UInt32
    let fileBytes: Int
    /// Where the next record goes.
    var end = SegmentFormat.fileHeaderBytes
    /// True until the first sync of a new file: its size and blocks have to become durable too.
    var isFresh: Bool
    var isDirty = true

    func hasRoom(for bytes: Int) -> Bool { bytes <= fileBytes - end }
  }

  let disk: any Disk
  let directory: String
  var current: Open?
  /// Full files with records that were not synced yet.
  var filled: [Open] = []
  /// A file was made or renamed since the last sync: the folder has to become durable too.
  var directoryIsDirty = false
  /// The number the next segment tries first.
  var nextNumber: UInt32

  func path(_ number: UInt32) -> String { SegmentName.path(directory, number) }

  /// Writes one record; the offset of its payload. The file has room for it.
  ///
  /// Header, payload and trailer go in one vectored write from where they lie: no octet of a body is copied (house rule 3).
  static func write(_ pieces: [Chunk], length: Int, to file: inout Open, by disk: any Disk) throws(SpoolError) -> Int {
    let header = SegmentFormat.recordHeader(segment: file.number, salt: file.salt, length: length)
    var crc = CRC32C()
    crc.update(header.span)
    for piece in pieces { piece.withSpan { crc.update($0) } }
    let all = [Chunk(header)] + pieces + [Chunk(SegmentFormat.trailer(checksum: crc.value, length: length))]
    let failure = writeAll(all, to: file.descriptor, at: file.end, by: disk)
    if failure != 0 { throw .failed(operation: "write", path: file.path, code: failure) }
    let payload = file.end + SegmentFormat.recordHeaderBytes
    file.end = (payload + length + SegmentFormat.trailerBytes + 7) & ~7
    file.isDirty = true
    return payload
  }

  /// Writes all of `pieces` at `start`, going on after a short write. 0, or the errno.
  static func writeAll(_ pieces: [Chunk], to descriptor: Int32, at start: Int, by disk: any Disk) -> Int32 {
    // The addresses stay good because `pieces` holds the chunks to the end of this function.
    defer { withExtendedLifetime(pieces) {} }
    var vectors = unsafe pieces.filter { !$0.isEmpty }.map { piece in
      unsafe piece.withUnsafeBytes { unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
    }
    var first = 0
    var offset = start
    while unsafe first < vectors.count {
      var written = unsafe vectors.withUnsafeBufferPointer { all in
        unsafe disk.write(descriptor, UnsafeBufferPointer(rebasing: all[first...]), offset: offset)
      }
      // Nothing written and no error: a disk that would keep us here for ever.
      if written <= 0 { return written == 0 ? EIO : Int32(-written) }
      offset += written
      while unsafe first < vectors.count {
        let whole = unsafe vectors[first].iov_len
        if written < whole { break }
        written -= whole
        first += 1
      }
      if written > 0 {
        unsafe vectors[first].iov_base += written
        unsafe vectors[first].iov_len -= written
      }
    }
    return 0
  }

  /// Makes everything durable that was written since the last time; the numbers of the segments it was written to.
  mutating func sync() throws(SpoolError) -> [UInt32] {
    var synced = filled.map(\.number)
    for file in filled where file.isDirty { try SegmentWriter.sync(file, by: disk) }
    if let file = current, file.isDirty {
      try SegmentWriter.sync(file, by: disk)
      synced.append(file.number)
      current?.isDirty = false
      current?.isFresh = false
    }
    if directoryIsDirty {
      let failure = disk.syncDirectory(directory)
      if failure < 0 { throw .failed(operation: "sync the folder", path: directory, code: -failure) }
      directoryIsDirty = false
    }
    for file in filled { disk.close(file.descriptor) }
    filled = []
    return synced
  }

  private static func sync(_ file: Open, by disk: any Disk) throws(SpoolError) {
    let failure = disk.sync(file.descriptor, metadata: file.isFresh)
    if failure < 0 { throw .failed(operation: "sync", path: file.path, code: -failure) }
  }

  func closeAll() {
    for file in filled { disk.close(file.descriptor) }
    if let file = current { disk.close(file.descriptor) }
  }
}

/// Names of segment files.
enum SegmentName {
  static func path(_ directory: String, _ number: UInt32) -> String {
    let digits = String(number, radix: 16)
    return directory + "/segment-" + String(repeating: "0", count: 8 - digits.utf8.count) + digits + ".spool"
  }

  /// The number in a file name of exactly that form.
  static func number(_ name: String) -> UInt32? {
    guard name.utf8.count == 22, name.hasPrefix("segment-"), name.hasSuffix(".spool") else { return nil }
    let digits = name.dropFirst(8).dropLast(6)
    guard digits.utf8.allSatisfy({ $0 &- 48 < 10 || $0 &- 97 < 6 }) else { return nil }
    return UInt32(digits, radix: 16)
  }
}
