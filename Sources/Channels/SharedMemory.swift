internal import CPlatform
public import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// Memory that travels between processes as a descriptor.
public enum SharedMemory {
  /// Makes a memory file of these octets, one piece after the other, and seals it: nobody, its maker included, can change it after.
  ///
  /// - Parameter name: shown below /proc/PID/fd, for people; cut at 64 octets.
  public static func make(name: String, pieces: [Chunk]) throws(ChannelError) -> Descriptor {
    let vectors = unsafe pieces.map { piece in
      // The pointers are good for as long as `pieces` is kept, which is until after the call below.
      unsafe piece.withUnsafeBytes { bytes in
        unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
      }
    }
    let made = unsafe vectors.withUnsafeBufferPointer { all in
      unsafe ceralacca_sealed_memory(String(decoding: name.utf8.prefix(64), as: UTF8.self), all.baseAddress, Int32(all.count))
    }
    withExtendedLifetime(pieces) {}
    if made < 0 { throw .system(call: "memfd_create", errno: -made) }
    return Descriptor(owning: made)
  }

  /// Maps a sealed memory file for reading. The chunk keeps the memory; the descriptor is not needed after.
  ///
  /// - Parameter bytes: how long the file is said to be; it must be exactly that long.
  /// - Throws: `.malformed` when it has another length or could still be changed, `.system`.
  public static func map(_ descriptor: Descriptor, bytes: Int) throws(ChannelError) -> Chunk {
    guard bytes >= 0 else { throw .malformed("a memory file of \(bytes) octets") }
    if bytes == 0 { return .empty }
    var base: UnsafeRawPointer?
    let failure = unsafe ceralacca_map_sealed(descriptor.number, bytes, &base)
    switch -failure {
    case 0: break
    case EINVAL: throw .malformed("a memory file that is not \(bytes) octets long, or none at all")
    case EPERM: throw .malformed("a memory file that is not sealed")
    case let number: throw .system(call: "mmap", errno: number)
    }
    guard let base = unsafe base else { throw .system(call: "mmap", errno: EFAULT) }
    return unsafe Chunk(base: base, count: bytes, owner: Mapping(base: base, count: bytes))
  }
}

/// A mapping, unmapped when the last chunk that looks at it goes.
@safe
private final class Mapping: @unchecked Sendable {
  // Owned by this object from its making; read-only and immutable, because the file is sealed.
  private let base: UnsafeRawPointer
  private let count: Int

  @unsafe
  init(base: UnsafeRawPointer, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  deinit { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) }
}
