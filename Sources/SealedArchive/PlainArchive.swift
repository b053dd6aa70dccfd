internal import CLibzip
import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// A zip archive that everybody can open: how an extract of the log travels. The same members make the same octets, whenever and wherever
/// the archive is made, and it says at its end which octets it was made of, so that a change of its frame is seen as well.
public enum PlainArchive {
  /// A file of an archive.
  public struct Member: Sendable, Equatable {
    /// Its path with `/` between folders.
    public var path: String
    public var octets: [UInt8]

    /// A file of that path and content.
    public init(path: String, octets: [UInt8]) {
      self.path = path
      self.octets = octets
    }
  }

  /// Whose frame the members stand in.
  public enum Packing: Sendable, Equatable {
    /// As `make` wrote it, octet for octet.
    case own
    /// Another program's: the members were unpacked and packed again. They speak for themselves.
    case foreign
    /// Neither: it was changed since it was made, or a program has put something of its own in.
    case changed
  }

  /// What an archive holds.
  public struct Contents: Sendable, Equatable {
    /// In the archive's order; folders are left out.
    public var members: [Member]
    public var packing: Packing
  }

  /// What a reader puts up with; all in octets but for the number of members.
  public struct Bounds: Sendable {
    public var archiveBytes = 256 << 20
    public var members = 100_000
    public var memberBytes = 256 << 20
    public var totalBytes = 1 << 30

    /// 256 MB of archive and 1 GB of content in 100,000 files.
    public init() {}
  }

  /// Makes an archive in memory.
  /// - Throws: `.unusableMembers` for no members, two of one path, or a path that leads out of a folder; `.archive`.
  public static func make(_ members: [Member]) throws(SealedArchiveError) -> [UInt8] {
    guard !members.isEmpty, Set(members.map(\.path)).count == members.count, members.allSatisfy({ isUsable($0.path) }) else {
      throw .unusableMembers
    }
    let plain = members.map { SealedArchive.Member(name: $0.path, content: [Chunk($0.octets)], modifiedUnixSeconds: 0) }
    var memory = try ArchiveMemory(plain, password: nil, comment: label + String(repeating: "0", count: digits))
    var archive: [UInt8] = []
    while let octets = try memory.next() { archive += octets }
    guard archive.count > digits else { throw .archive("it came out empty") }
    archive.replaceSubrange((archive.count - digits)..., with: checksum(archive[..<(archive.count - digits)]).utf8)
    return archive
  }

  /// Writes octets as a new file for its owner alone (mode 0600), durably.
  /// - Throws: `.exists` when there is something at `path`; nothing is left behind after any other error.
  public static func write(_ archive: [UInt8], to path: String) throws(SealedArchiveError) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw errno == EEXIST ? .exists(path: path) : .system(operation: "make", path: path, code: errno) }
    defer { _ = close(descriptor) }
    do throws(SealedArchiveError) {
      try SealedArchive.write(archive, to: descriptor, path: path)
      if fsync(descriptor) != 0 { throw SealedArchiveError.system(operation: "sync", path: path, code: errno) }
    } catch {
      _ = unsafe unlink(path)
      throw error
    }
  }

  /// Reads an archive whoever made it; each member's checksum is verified.
  /// - Throws: why nothing of it may be used: no zip, encrypted, a path that leads out of a folder or stands twice, beyond the bounds.
  public static func read(_ archive: [UInt8], bounds: Bounds = Bounds()) throws(PlainArchiveError) -> Contents {
    guard !archive.isEmpty else { throw .unreadable("it is empty") }
    guard archive.count <= bounds.archiveBytes else { throw .tooLarge("it has more than \(bounds.archiveBytes) octets") }
    let result = unsafe archive.withUnsafeBytes { octets -> Result<[Member], PlainArchiveError> in
      do throws(PlainArchiveError) {
        return .success(try unsafe ArchiveReading(octets).members(bounds))
      } catch {
        return .failure(error)
      }
    }
    return Contents(members: try result.get(), packing: packing(of: archive))
  }

  /// Whether octets begin as a zip archive does.
  public static func looksPacked(_ octets: [UInt8]) -> Bool { octets.starts(with: [0x50, 0x4B, 3, 4]) }

  /// Relative, without empty, `.` or `..` steps, and without what some program takes for a separator or an end.
  static func isUsable(_ path: String) -> Bool {
    guard !path.isEmpty, path.utf8.count <= 1024, !path.utf8.contains(where: { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: "\\") }) else {
      return false
    }
    return path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
  }

  // MARK: The end

  private static let label = "Ceralacca "
  private static let digits = 8
  /// Octets of the end record without its comment (APPNOTE 4.3.16).
  private static let endBytes = 22

  private static func packing(of archive: [UInt8]) -> Packing {
    let commentBytes = label.utf8.count + digits
    let body = archive.count - digits
    if endsWithRecord(archive, commentBytes: commentBytes), archive[(body - label.utf8.count)..<body].elementsEqual(label.utf8),
      archive[body...].elementsEqual(checksum(archive[..<body]).utf8)
    {
      return .own
    }
    return endsWithRecord(archive, commentBytes: 0) ? .foreign : .changed
  }

  /// Whether an end record with a comment of that size is the last of the archive.
  private static func endsWithRecord(_ archive: [UInt8], commentBytes: Int) -> Bool {
    let start = archive.count - endBytes - commentBytes
    guard start >= 0 else { return false }
    let record = Array(archive[start..<(start + endBytes)])
    return record.starts(with: [0x50, 0x4B, 5, 6]) && Int(record[20]) | Int(record[21]) << 8 == commentBytes
  }

  /// CRC-32 as in zip itself, in eight digits: no defence against a forger, whom the signed content meets, but no bit changes unseen.
  private static func checksum(_ octets: ArraySlice<UInt8>) -> String {
    var value = UInt32.max
    for octet in octets { value = table[Int(UInt8(truncatingIfNeeded: value) ^ octet)] ^ (value >> 8) }
    value = ~value
    return Hex.encode((0..<4).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) })
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }
}

/// Why an archive cannot be read.
public enum PlainArchiveError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong with it.
  case unreadable(String)
  /// Which bound it goes beyond.
  case tooLarge(String)

  public var description: String {
    switch self {
    case .unreadable(let words): "the zip archive cannot be read: \(words)"
    case .tooLarge(let words): "the zip archive is too large: \(words)"
    }
  }
}

/// An archive that libzip has open for reading.
@safe
private struct ArchiveReading: ~Copyable {
  // Owned; discarded in deinit. The octets it reads are the caller's, who holds them for as long as this lives.
  private let archive: OpaquePointer

  @unsafe
  init(_ octets: UnsafeRawBufferPointer) throws(PlainArchiveError) {
    var words = [CChar](repeating: 0, count: 256)
    guard let opened = unsafe ceralacca_zip_reading(octets.baseAddress, UInt64(octets.count), &words, 256) else {
      throw .unreadable(String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    unsafe archive = opened
  }

  deinit { unsafe zip_discard(archive) }

  func members(_ bounds: PlainArchive.Bounds) throws(PlainArchiveError) -> [PlainArchive.Member] {
    let count = unsafe zip_get_num_entries(archive, 0)
    guard count >= 0, count <= Int64(bounds.members) else { throw .tooLarge("it has more than \(bounds.members) files") }
    var members: [PlainArchive.Member] = []
    var paths: Set<String> = []
    var total = 0
    for index in 0..<UInt64(count) {
      var facts = unsafe zip_stat_t()
      guard unsafe zip_stat_index(archive, index, 0, &facts) == 0, let name = unsafe facts.name.map({ unsafe String(cString: $0) }) else {
        throw .unreadable("its member \(index + 1) has no name")
      }
      // A folder is no file: its files say where they are.
      if name.hasSuffix("/"), unsafe facts.size == 0, PlainArchive.isUsable(String(name.dropLast())) { continue }
      let shown = ASCII.escaped(name)
      guard PlainArchive.isUsable(name), paths.insert(name).inserted else { throw .unreadable("the path \(shown) may not be in it") }
      guard unsafe facts.encryption_method == UInt16(ZIP_EM_NONE) else { throw .unreadable("\(shown) is encrypted") }
      let room = min(bounds.memberBytes, bounds.totalBytes - total)
      guard unsafe facts.size <= UInt64(room) else { throw .tooLarge("\(shown) goes beyond \(room) octets") }
      let octets = try read(index, count: Int(unsafe facts.size), name: shown)
      total += octets.count
      members.append(PlainArchive.Member(path: name, octets: octets))
    }
    return members
  }

  /// A member of that many octets, and not one more; libzip compares the checksum where it meets the end.
  private func read(_ index: UInt64, count: Int, name: String) throws(PlainArchiveError) -> [UInt8] {
    guard let file = unsafe zip_fopen_index(archive, index, 0) else {
      throw .unreadable("\(name): \(unsafe String(cString: zip_strerror(archive)))")
    }
    defer { unsafe zip_fclose(file) }
    var isWhole = true
    let octets = unsafe [UInt8](unsafeUninitializedCapacity: count + 1) { out, filled in
      while filled <= count {
        let got = unsafe zip_fread(file, out.baseAddress! + filled, UInt64(count + 1 - filled))
        if got <= 0 {
          isWhole = got == 0 && filled == count
          return
        }
        filled += Int(got)
      }
      isWhole = false
    }
    guard isWhole else { throw .unreadable("\(name) is damaged") }
    return octets
  }
}
