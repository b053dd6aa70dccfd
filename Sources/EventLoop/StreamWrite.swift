internal import CLibuv
public import Octets

/// What waits to be written to one stream. It exists only while something does.
@safe
final class Outbox {
  /// A write's completion, and how far the stream must have come for it.
  private struct Pending {
    var end: UInt64
    var body: (LoopError?) -> Void
  }

  // Octets are counted from the making of this outbox.
  private(set) var accepted: UInt64 = 0
  private(set) var written: UInt64 = 0
  private var chunks: [Chunk] = []
  private var first = 0  // the chunk that is next
  private var offset = 0  // octets of it that are written
  private var pending: [Pending] = []
  private var firstPending = 0
  /// Octets that libuv holds in its one open write request; 0 when there is none.
  var inFlight = 0

  /// Octets accepted and not known to be written.
  var bytesQueued: Int { Int(truncatingIfNeeded: accepted - written) }

  /// Adds what is left of `list` after its first `skipping` octets.
  func append(_ list: [Chunk], skipping: Int) {
    var skip = skipping
    for chunk in list {
      if skip >= chunk.count {
        skip -= chunk.count
        continue
      }
      let rest = skip == 0 ? chunk : chunk[skip..<chunk.count]
      skip = 0
      chunks.append(rest)
      accepted += UInt64(rest.count)
    }
  }

  /// Remembers whom to tell when everything that was accepted so far is written.
  func append(completion: @escaping (LoopError?) -> Void) { pending.append(Pending(end: accepted, body: completion)) }

  /// Lends the next octets as a vector, 64 pieces at the most, to `body`; nil when there are none. The pointers hold for as long as
  /// this outbox keeps the chunks: until `advance` passes them.
  func withVector<Result>(_ body: (UnsafeMutablePointer<uv_buf_t>, UInt32, Int) -> Result) -> Result? {
    let pieces = min(64, chunks.count - first)
    guard pieces > 0 else { return nil }
    return unsafe withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: pieces) { vector in
      guard let start = vector.baseAddress else { return nil }
      var total = 0
      for index in 0..<pieces {
        let skip = index == 0 ? offset : 0
        unsafe chunks[first + index].withUnsafeBytes { bytes in
          unsafe (start + index).initialize(to: buffer(bytes, from: skip))
          total += bytes.count - skip
        }
      }
      return unsafe body(start, UInt32(pieces), total)
    }
  }

  /// `count` octets more are written: lets go of their chunks.
  func advance(_ count: Int) {
    written += UInt64(count)
    var left = count
    while left > 0 {
      let rest = chunks[first].count - offset
      if left < rest {
        offset += left
        return
      }
      left -= rest
      chunks[first] = .empty
      first += 1
      offset = 0
    }
    // The spent front of a long queue is cut off now and then, not chunk by chunk.
    if first == chunks.count {
      chunks.removeAll(keepingCapacity: true)
      first = 0
    } else if first >= 256, first * 2 > chunks.count {
      chunks.removeFirst(first)
      first = 0
    }
  }

  /// The next completion whose write is through, or nil.
  func nextCompletion() -> ((LoopError?) -> Void)? {
    guard firstPending < pending.count, pending[firstPending].end <= written else { return nil }
    let body = pending[firstPending].body
    firstPending += 1
    if firstPending == pending.count {
      pending.removeAll(keepingCapacity: true)
      firstPending = 0
    }
    return body
  }

  /// All completions that are still open, oldest first.
  func takeCompletions() -> [(LoopError?) -> Void] {
    let bodies = pending[firstPending...].map(\.body)
    dropCompletions()
    return bodies
  }

  func dropCompletions() {
    pending = []
    firstPending = 0
  }
}

/// A vector's piece over `bytes` from an offset on; libuv wants it mutable and does not write to it.
private func buffer(_ bytes: UnsafeRawBufferPointer, from skip: Int) -> uv_buf_t {
  guard let base = bytes.baseAddress else { return unsafe uv_buf_t() }
  return unsafe uv_buf_t(
    base: UnsafeMutableRawPointer(mutating: base + skip).assumingMemoryBound(to: CChar.self), len: bytes.count - skip)
}

extension Stream {
  /// Octets that `write` took and the kernel has not. Above a limit of yours, stop reading until a completion says it has sunk.
  public var bytesQueued: Int {
    guard let outbox else { return 0 }
    guard outbox.inFlight > 0, phase == .open || phase == .lingering else { return outbox.bytesQueued }
    // libuv knows how much of its request is still to go.
    let left = unsafe uv_stream_get_write_queue_size(handle)
    return outbox.bytesQueued - outbox.inFlight + min(left, outbox.inFlight)
  }

  /// Writes the chunks, one after the other, after everything that was written before. As much as the kernel takes goes out within this
  /// call, in one vectored write; the rest follows as the peer makes room. The chunks are kept until then, never copied.
  ///
  /// - Parameter completion: runs once, after this call has returned: with nil when the kernel has taken all of it, with the error
  ///   when the stream failed or could not be written to. Not at all after `close`.
  public func write(_ chunks: [Chunk], completion: ((LoopError?) -> Void)? = nil) {
    loop.assertOnThread()
    guard phase == .open, !shutdownAsked else { return refuse(completion) }
    if outbox == nil, !isCorked, chunks.count <= 64 {
      switch tryWrite(chunks) {
      case .all:
        if let completion { tell(completion) }
        return
      case .part(let count): queue(chunks, skipping: count, completion)
      case .failed(let code):
        queue(chunks, skipping: 0, completion)
        return fail(LoopError(code, "write to \(peerText)"))
      }
      return submit()
    }
    queue(chunks, skipping: 0, completion)
    if !isCorked { flush() }
  }

  /// Writes one chunk.
  public func write(_ chunk: Chunk, completion: ((LoopError?) -> Void)? = nil) { write([chunk], completion: completion) }

  /// Writes octets that were composed.
  public func write(_ bytes: [UInt8], completion: ((LoopError?) -> Void)? = nil) { write([Chunk(bytes)], completion: completion) }

  /// Gathers what is written from now on, until `uncork` sends it in as few packets as possible.
  public func cork() {
    guard phase == .open else { return }
    isCorked = true
  }

  /// Sends what was gathered since `cork`.
  public func uncork() {
    loop.assertOnThread()
    guard isCorked, phase == .open else { return }
    isCorked = false
    flush()
  }

  private func refuse(_ completion: ((LoopError?) -> Void)?) {
    // While failing, the stream has not told its owner yet: it gets its answer like every other write.
    guard let completion, phase == .open || phase == .failing else { return }
    let error = LoopError(kind: .closed, "write to \(peerText)")
    loop.soon { [self] in
      if phase != .closed { completion(error) }
    }
  }

  private func tell(_ completion: @escaping (LoopError?) -> Void) {
    loop.soon { [self] in
      if phase == .open || phase == .failing { completion(nil) }
    }
  }

  private func queue(_ chunks: [Chunk], skipping: Int, _ completion: ((LoopError?) -> Void)?) {
    let outbox = self.outbox ?? Outbox()
    self.outbox = outbox
    outbox.append(chunks, skipping: skipping)
    if let completion { outbox.append(completion: completion) }
  }

  private enum Attempt { case all, part(Int), failed(Int32) }

  /// The common case, without an outbox: the kernel takes everything at once.
  private func tryWrite(_ chunks: [Chunk]) -> Attempt {
    return unsafe withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: max(1, chunks.count)) { vector -> Attempt in
      var total = 0
      var pieces = 0
      for chunk in chunks where !chunk.isEmpty {
        unsafe chunk.withUnsafeBytes { bytes in
          unsafe vector.initializeElement(at: pieces, to: buffer(bytes, from: 0))
          total += bytes.count
        }
        pieces += 1
      }
      guard pieces > 0 else { return .all }
      // The caller's array keeps the chunks for the length of this call.
      let count = unsafe uv_try_write(handle, vector.baseAddress, UInt32(pieces))
      if count == Int32(total) { return .all }
      if count >= 0 { return .part(Int(count)) }
      return count == UV_EAGAIN.rawValue ? .part(0) : .failed(count)
    }
  }

  /// Writes what waits, as much as the kernel takes, and leaves the rest to libuv.
  func flush() {
    guard let outbox else { return drained() }
    guard outbox.inFlight == 0 else { return }
    while let taken = unsafe outbox.withVector({ vector, pieces, total in
      (count: unsafe uv_try_write(handle, vector, pieces), total: total)
    }) {
      if taken.count >= 0 { outbox.advance(Int(taken.count)) }
      if taken.count >= 0 && Int(taken.count) == taken.total { continue }
      if taken.count < 0, taken.count != UV_EAGAIN.rawValue { return fail(LoopError(taken.count, "write to \(peerText)")) }
      settle(outbox)
      return submit()
    }
    settle(outbox)
    self.outbox = nil
    drained()
  }

  /// Hands the next pieces to libuv, which waits until the socket takes them.
  private func submit() {
    guard let outbox else { return }
    // Owned by libuv until its callback, which comes in any case, and before the close callback. `data` keeps the outbox, and with it
    // the chunks that the vector points into.
    let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
    let failure = unsafe outbox.withVector { vector, pieces, total -> Int32 in
      unsafe request.pointee.data = unsafe Unmanaged.passRetained(outbox).toOpaque()
      outbox.inFlight = total
      return unsafe uv_write(request, handle, vector, pieces) { request, status in
        guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
        let outbox = unsafe Unmanaged<Outbox>.fromOpaque(data).takeRetainedValue()
        let owner = unsafe request.pointee.handle?.pointee.data
        unsafe request.deallocate()
        guard let owner = unsafe owner else { return }
        unsafe Unmanaged<Stream>.fromOpaque(owner)._withUnsafeGuaranteedRef { $0.wasWritten(outbox, status) }
      }
    }
    guard let failure, failure != 0 else { return }
    outbox.inFlight = 0
    unsafe Unmanaged.passUnretained(outbox).release()
    unsafe request.deallocate()
    fail(LoopError(failure, "write to \(peerText)"))
  }

  private func wasWritten(_ outbox: Outbox, _ status: Int32) {
    guard phase == .open || phase == .lingering, outbox === self.outbox else { return }
    if status != 0 { return fail(LoopError(status, "write to \(peerText)")) }
    let count = outbox.inFlight
    outbox.inFlight = 0
    outbox.advance(count)
    flush()
  }

  /// Tells those whose writes are through.
  private func settle(_ outbox: Outbox) {
    while let completion = outbox.nextCompletion() { tell(completion) }
  }
}
