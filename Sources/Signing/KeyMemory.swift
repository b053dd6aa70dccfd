internal import COpenSSL
import Glibc
import Synchronization

/// Where private keys lie while they are used: in pages that are locked, left out of core dumps, fenced by guard pages, and wiped
/// octet by octet as they are given back (OpenSSL's secure heap, CRYPTO_secure_malloc(3)).
///
/// The secure heap alone is not enough. Measured with OpenSSL 3.0, by a search of the process's memory for the octets of a prime: its
/// decoders put the private numbers there, but they read the key's DER into ordinary memory first and free it unwiped, and RSA keeps a
/// copy of each prime in its Montgomery contexts, which are made with the first signature, in ordinary memory for as long as the key
/// lives. Therefore OpenSSL's allocator is replaced (CRYPTO_set_mem_functions(3)): what a thread asks for while it handles a key
/// (`confined`) comes from the secure heap, everything else from malloc as before, and each goes back to where it came from. The hot
/// path is not confined: once the contexts are made, a signature makes no copies of primes, and what it makes OpenSSL wipes itself.
///
/// Weighed against mlockall(2): that locks the whole gateway with every mapped spool file, needs a limit without bound, wipes nothing,
/// and with MCL_FUTURE makes a mapping fail where today a page is reclaimed.
public enum KeyMemory {
  /// How well private keys are protected in this process.
  public enum Protection: Sendable, Equatable {
    /// Locked, and everything made of a key is in there.
    case complete
    /// OpenSSL was in use before `prepare`: copies that it makes of a key's numbers, and of its file, are in ordinary memory.
    case numbersOnly
    /// The system would not lock the memory (RLIMIT_MEMLOCK): keys are wiped and left out of core dumps, and may be swapped.
    case unlocked
    /// There is no secure heap: keys lie in ordinary memory, and OpenSSL wipes the numbers when a key goes.
    case none

    /// What is missing and what to do about it; nil when nothing is.
    public var warning: String? {
      switch self {
      case .complete: nil
      case .numbersOnly:
        "OpenSSL was used before the memory of keys was prepared: copies of key material may lie in memory that can be swapped. "
          + "Call KeyMemory.prepare first thing, and run without swap (systemd: MemorySwapMax=0)."
      case .unlocked:
        "the system does not allow \(KeyMemory.heapBytes >> 10) KB to be locked: private keys may be swapped to disk. "
          + "Raise the limit (systemd: LimitMEMLOCK=8M; ulimit -l), or run without swap (systemd: MemorySwapMax=0)."
      case .none: "OpenSSL has no secure heap here: private keys lie in ordinary memory. Run without swap (systemd: MemorySwapMax=0)."
      }
    }
  }

  /// Size of the secure heap, in octets. A signer takes 6 KB of it (2048 bits) to 11 KB (4096), with lanes 32 to 64 KB more, each signing
  /// thread has one, and at a rollover there are two generations; what OpenSSL loads and keeps while it handles its first key takes
  /// 400 KB. Below the 8 MB that an ordinary process may lock.
  static let heapBytes = 4 << 20

  /// Prepares the memory once for the process, and says what was reached. To be called before anything else uses OpenSSL; loading
  /// credentials calls it, too.
  @discardableResult
  public static func prepare() -> Protection { prepared }

  /// Once for the process; the runtime makes callers wait for the first.
  private static let prepared: Protection = {
    _ = mark
    let replaced = unsafe CRYPTO_set_mem_functions(keyAllocate, keyReallocate, keyFree) == 1
    // 1: locked; 2: there, and not locked (or without guard pages); 0: not there. The smallest piece has 32 octets.
    switch CRYPTO_secure_malloc_init(heapBytes, 32) {
    case 1: return replaced ? .complete : .numbersOnly
    case 2: return .unlocked
    default: return .none
    }
  }()

  /// Runs `body` so that whatever OpenSSL allocates on this thread lies in the secure heap.
  static func confined<Value, Failure>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
    prepare()
    let outer = unsafe pthread_getspecific(mark)
    // Any pointer but nil is a mark; it is never followed.
    unsafe pthread_setspecific(mark, UnsafeRawPointer(bitPattern: 1))
    defer { unsafe pthread_setspecific(mark, outer) }
    return try body()
  }

  /// Octets of the secure heap that are in use.
  static var usedBytes: Int { prepare() == .none ? 0 : CRYPTO_secure_used() }

  /// Allocations for which the secure heap had no room, so that they lie in ordinary memory: anything but zero means that there are
  /// too many signing threads for it.
  public static var spilled: Int { spills.load(ordering: .relaxed) }

  /// The calling thread's mark: not nil while it handles a key.
  fileprivate static let mark: pthread_key_t = {
    var made = pthread_key_t()
    let failure = unsafe pthread_key_create(&made, nil)
    precondition(failure == 0, "pthread_key_create failed: \(failure)")
    return made
  }()

  fileprivate static let spills = Atomic<Int>(0)
}

/// OpenSSL's malloc. The mark is taken off for the call: a failure inside is written to the error queue, whose memory is asked for here.
@unsafe
private func keyAllocate(_ count: Int, _ file: UnsafePointer<CChar>?, _ line: Int32) -> UnsafeMutableRawPointer? {
  guard let mark = unsafe pthread_getspecific(KeyMemory.mark) else { return unsafe malloc(count) }
  pthread_setspecific(KeyMemory.mark, nil)
  let made = unsafe CRYPTO_secure_malloc(count, file, line)
  unsafe pthread_setspecific(KeyMemory.mark, mark)
  if let made = unsafe made { return unsafe made }
  KeyMemory.spills.wrappingAdd(1, ordering: .relaxed)
  return unsafe malloc(count)
}

/// OpenSSL's realloc: what lies in the secure heap stays there, whoever asks.
@unsafe
private func keyReallocate(
  _ memory: UnsafeMutableRawPointer?, _ count: Int, _ file: UnsafePointer<CChar>?, _ line: Int32
) -> UnsafeMutableRawPointer? {
  guard let memory = unsafe memory else { return unsafe keyAllocate(count, file, line) }
  guard unsafe CRYPTO_secure_allocated(memory) == 1 else { return unsafe realloc(memory, count) }
  let former = unsafe CRYPTO_secure_actual_size(memory)
  guard let made = unsafe KeyMemory.confined({ unsafe keyAllocate(count, file, line) }) else { return nil }
  unsafe memcpy(made, memory, min(former, count))
  unsafe CRYPTO_secure_free(memory, file, line)
  return unsafe made
}

/// OpenSSL's free. The secure heap wipes what it takes back.
@unsafe
private func keyFree(_ memory: UnsafeMutableRawPointer?, _ file: UnsafePointer<CChar>?, _ line: Int32) {
  guard let memory = unsafe memory else { return }
  if unsafe CRYPTO_secure_allocated(memory) == 1 {
    unsafe CRYPTO_secure_free(memory, file, line)
  } else {
    unsafe free(memory)
  }
}

/// Octets that nobody else should see: the text of a key's file, a PIN. In the secure heap where it has room; wiped when they go.
@safe
final class SecretOctets {
  // Owned here, wiped and freed in deinit. `count` octets of `capacity` are in use.
  private let memory: UnsafeMutableRawPointer
  let capacity: Int
  private(set) var count = 0

  /// - Parameter capacity: the most octets, at least one.
  init(capacity: Int) {
    KeyMemory.prepare()
    self.capacity = max(1, capacity)
    unsafe memory =
      CRYPTO_secure_malloc(self.capacity, #file, #line) ?? UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 16)
  }

  deinit {
    unsafe OPENSSL_cleanse(memory, capacity)
    if unsafe CRYPTO_secure_allocated(memory) == 1 {
      unsafe CRYPTO_secure_free(memory, #file, #line)
    } else {
      unsafe memory.deallocate()
    }
  }

  /// What is in use.
  @unsafe
  var octets: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: memory, count: count) }

  /// Uses the first `count` octets only; the rest is wiped with everything.
  func truncate(to count: Int) { self.count = min(self.count, max(0, count)) }

  /// Reads once from a descriptor behind what is there. The number of octets, 0 at the end or when there is no room, or -1 with errno.
  func read(from descriptor: Int32) -> Int {
    let got = unsafe Glibc.read(descriptor, memory + count, capacity - count)
    if got > 0 { count += got }
    return got
  }

  /// A larger one with the same octets.
  func grown(to capacity: Int) -> SecretOctets {
    let larger = SecretOctets(capacity: max(capacity, count))
    unsafe memcpy(larger.memory, memory, count)
    larger.count = count
    return larger
  }
}
