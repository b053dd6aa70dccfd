internal import CLibzip
public import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// A zip archive whose members are sealed by AES-256 under a password: what leaves the quarantine, so that neither a mail system's
/// scanner nor a careless click meets its content on the way to an analyst. Names and sizes of members are not secret in a zip.
public enum SealedArchive {
  /// A member of an archive.
  public struct Member: Sendable {
    /// Its file name.
    public var name: String
    /// Its octets, in pieces.
    public var content: [Chunk]
    /// When it was last changed, in seconds since 1970.
    public var modifiedUnixSeconds: Int64

    /// A member of these fields.
    public init(name: String, content: [Chunk], modifiedUnixSeconds: Int64) {
      self.name = name
      self.content = content
      self.modifiedUnixSeconds = modifiedUnixSeconds
    }
  }

  /// Writes a new archive for its owner alone (mode 0600), durably: when this returns, it is on the disk. It is put together in memory,
  /// which takes up to the size of its members once more.
  /// - Throws: `.exists` when there is something at `path`; nothing is left behind after any other error.
  public static func write(_ members: [Member], password: String, to path: String) throws(SealedArchiveError) {
    guard isUsable(password) else { throw .unusablePassword }
    let names = members.map(\.name)
    guard !names.isEmpty, Set(names).count == names.count, names.allSatisfy({ !$0.isEmpty && !$0.utf8.contains(0) }) else {
      throw .unusableMembers
    }
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw errno == EEXIST ? .exists(path: path) : .system(operation: "make", path: path, code: errno) }
    defer { _ = close(descriptor) }
    do throws(SealedArchiveError) {
      var memory = try ArchiveMemory(members, password: password)
      while let octets = try memory.next() { try SealedArchive.write(octets, to: descriptor, path: path) }
      if fsync(descriptor) != 0 { throw SealedArchiveError.system(operation: "sync", path: path, code: errno) }
    } catch {
      _ = unsafe unlink(path)
      throw error
    }
  }

  /// Whether a password can be typed into any program that opens such archives.
  public static func isUsable(_ password: String) -> Bool {
    (8...127).contains(password.utf8.count) && password.utf8.allSatisfy { $0 >= 32 && $0 < 127 }
  }

  /// A new password of 125 random bits: five groups of five letters and digits that are not mistaken for one another when read aloud.
  public static func makePassword() -> String {
    let letters = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
    let drawn = Entropy.bytes(25).map { letters[Int($0 & 31)] }
    let groups = stride(from: 0, to: 25, by: 5).map { String(decoding: drawn[$0..<$0 + 5], as: UTF8.self) }
    return groups.joined(separator: "-")
  }

  static func write(_ octets: [UInt8], to descriptor: Int32, path: String) throws(SealedArchiveError) {
    var from = 0
    while from < octets.count {
      let count = unsafe octets.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress! + from, octets.count - from) }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { throw .system(operation: "write", path: path, code: count < 0 ? errno : EIO) }
      from += count
    }
  }
}

/// A whole archive in libzip's memory.
@safe
struct ArchiveMemory: ~Copyable {
  // libzip's source of a growing buffer; the reference that `ceralacca_zip_in_memory` left to us is released in deinit.
  private let memory: OpaquePointer

  /// Makes the archive and closes it, which is when libzip reads the members, compresses and seals them.
  /// - Parameters:
  ///   - password: nil leaves the members open, and their dates out.
  ///   - comment: stands at the archive's end; ASCII.
  init(_ members: [SealedArchive.Member], password: String?, comment: String = "") throws(SealedArchiveError) {
    var made: OpaquePointer?
    guard let archive = unsafe ceralacca_zip_in_memory(&made), let made = unsafe made else { throw .archive("no memory") }
    // The members' octets stay where they lie because `members` holds their chunks until the archive is closed.
    defer { withExtendedLifetime(members) {} }
    var isMade = members.allSatisfy { member in
      let pieces = unsafe member.content.filter { !$0.isEmpty }.map { piece in
        unsafe piece.withUnsafeBytes { octets in
          // libzip's type is not const; it only reads.
          unsafe zip_buffer_fragment_t(
            data: UnsafeMutablePointer(mutating: octets.baseAddress!.assumingMemoryBound(to: UInt8.self)), length: UInt64(octets.count))
        }
      }
      return unsafe pieces.withUnsafeBufferPointer { pieces in
        guard let password else {
          return unsafe ceralacca_zip_add_plain(archive, member.name, pieces.baseAddress, UInt64(pieces.count)) == 0
        }
        return unsafe ceralacca_zip_add(
          archive, member.name, pieces.baseAddress, UInt64(pieces.count), member.modifiedUnixSeconds, password) == 0
      }
    }
    if isMade, !comment.isEmpty { isMade = unsafe zip_set_archive_comment(archive, comment, UInt16(comment.utf8.count)) == 0 }
    if isMade { isMade = unsafe zip_close(archive) == 0 }
    if !isMade {
      let words = unsafe zip_strerror(archive).map { unsafe String(cString: $0) } ?? "unknown error"
      unsafe zip_discard(archive)
      unsafe zip_source_free(made)
      throw .archive(words)
    }
    guard unsafe zip_source_open(made) == 0 else {
      unsafe zip_source_free(made)
      throw .archive("its memory cannot be read")
    }
    unsafe memory = made
  }

  deinit {
    _ = unsafe zip_source_close(memory)
    unsafe zip_source_free(memory)
  }

  /// The next octets, at most a megabyte; nil at the end.
  mutating func next() throws(SealedArchiveError) -> [UInt8]? {
    var count: Int64 = 0
    let octets = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 20) { out, filled in
      count = unsafe zip_source_read(memory, out.baseAddress, 1 << 20)
      filled = Int(max(0, count))
    }
    if count < 0 { throw .archive("its memory cannot be read") }
    return octets.isEmpty ? nil : octets
  }
}
