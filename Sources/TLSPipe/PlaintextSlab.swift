import Glibc

/// Memory that plaintext is read into: one for each thread, used by one `receive` at a time, instead of one for each pipe.
@safe
struct PlaintextSlab {
  /// Four records.
  static let bytes = 64 * 1024

  // Owned by the thread while it lies in the thread's slot, by the taker in between; freed with the thread.
  let memory: UnsafeMutableRawPointer

  private static let slot: pthread_key_t = {
    var key = pthread_key_t()
    let failure = unsafe pthread_key_create(&key) { memory in unsafe free(memory) }
    precondition(failure == 0, "pthread_key_create failed: \(failure)")
    return key
  }()

  /// The thread's slab; a new one when it is in use (a pipe that feeds another pipe).
  static func take() -> PlaintextSlab {
    if let kept = unsafe pthread_getspecific(slot) {
      pthread_setspecific(slot, nil)
      return unsafe PlaintextSlab(memory: kept)
    }
    guard let made = unsafe malloc(bytes) else { preconditionFailure("no memory for a TLS read buffer") }
    return unsafe PlaintextSlab(memory: made)
  }

  /// Puts it back for the thread's next pipe.
  static func give(_ slab: PlaintextSlab) {
    if unsafe pthread_getspecific(slot) != nil {
      unsafe free(slab.memory)
    } else {
      unsafe pthread_setspecific(slot, slab.memory)
    }
  }

  /// The first `count` octets.
  func buffer(_ count: Int) -> UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(start: memory.assumingMemoryBound(to: UInt8.self), count: count)
  }
}
