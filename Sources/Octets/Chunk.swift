internal import CPlatform

#if canImport(Glibc)
  import Glibc
#endif

/// Immutable octets that somebody owns: a piece of a message in memory, or a range of a mapped file.
///
/// A chunk is a window on shared storage. Slicing and passing it on costs a reference count, never a copy
/// (house rule 3: point, don't copy). The storage is freed, or unmapped, with the last chunk that looks at it.
public struct Chunk: Sendable {
  @usableFromInline let storage: ChunkStorage
  @usableFromInline let lower: Int
  @usableFromInline let upper: Int

  @usableFromInline
  init(storage: ChunkStorage, lower: Int, upper: Int) {
    self.storage = storage
    self.lower = lower
    self.upper = upper
  }

  /// No octets at all.
  public static let empty = Chunk([])

  /// The octets of an array, copied once into storage of the chunk's own.
  public init(_ bytes: [UInt8]) {
    self.init(storage: ChunkStorage(array: bytes), lower: 0, upper: bytes.count)
  }

  /// The UTF-8 form of a text.
  public init(_ text: String) { self.init(Array(text.utf8)) }

  /// Copies the octets of a span; for bytes whose owner will reuse them.
  public init(copying span: Span<UInt8>) {
    self.init([UInt8](copying: span))
  }

  /// Octets of memory that `owner` keeps alive: a mapped file, for instance.
  ///
  /// - Parameters:
  ///   - base: the first octet; it must stay valid and unchanged for as long as `owner` lives.
  ///   - count: how many octets.
  ///   - owner: is released when the last chunk of this storage goes.
  @unsafe
  public init(base: UnsafeRawPointer, count: Int, owner: any AnyObject & Sendable) {
    unsafe self.init(storage: ChunkStorage(base: base, count: count, owner: owner), lower: 0, upper: count)
  }

  /// Length in octets.
  @inlinable public var count: Int { upper - lower }
  /// True when there is nothing in it.
  @inlinable public var isEmpty: Bool { upper == lower }

  /// The octets of `range` (offsets from this chunk's own start), sharing the storage.
  public subscript(range: Range<Int>) -> Chunk {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "a slice outside of its chunk")
    return Chunk(storage: storage, lower: lower + range.lowerBound, upper: lower + range.upperBound)
  }

  /// Lends the octets to `body`.
  @inlinable
  public func withSpan<Result, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> Result) throws(Failure) -> Result {
    let bytes = unsafe UnsafeBufferPointer<UInt8>(
      start: storage.base.assumingMemoryBound(to: UInt8.self) + lower, count: upper - lower)
    return try body(unsafe bytes.span)
  }

  /// Lends the address of the octets to `body`, for calls into C. The chunk keeps them alive; the pointer is void after `body`
  /// unless the caller keeps the chunk as well.
  @unsafe @inlinable
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try unsafe body(UnsafeRawBufferPointer(start: storage.base + lower, count: upper - lower))
  }

  /// A copy as an array; for small things.
  public var array: [UInt8] { withSpan { [UInt8](copying: $0) } }
}

/// What a chunk looks at. Immutable after its making, which is why it may cross threads.
@safe @usableFromInline
final class ChunkStorage: @unchecked Sendable {
  // Owned by `array` (a heap copy this object frees) or by `owner` (somebody else's memory, kept alive by the reference).
  @usableFromInline let base: UnsafeRawPointer
  private let heap: UnsafeMutableRawPointer?
  private let owner: (any AnyObject & Sendable)?

  init(array: [UInt8]) {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: max(1, array.count), alignment: 1)
    unsafe array.withUnsafeBytes { source in
      if let start = source.baseAddress { unsafe copy.copyMemory(from: start, byteCount: source.count) }
    }
    unsafe base = UnsafeRawPointer(copy)
    unsafe heap = copy
    owner = nil
  }

  @unsafe
  init(taking memory: UnsafeMutableRawPointer) {
    unsafe base = UnsafeRawPointer(memory)
    unsafe heap = memory
    owner = nil
  }

  @unsafe
  init(base: UnsafeRawPointer, count: Int, owner: any AnyObject & Sendable) {
    unsafe self.base = base
    unsafe heap = nil
    self.owner = owner
  }

  deinit { unsafe heap?.deallocate() }
}

/// Gathers octets as they arrive and gives them up as a chunk without copying them again.
@safe
public struct ChunkBuilder: ~Copyable {
  // Owned here until `freeze` hands it to a chunk's storage, or until deinit frees it.
  private var memory: UnsafeMutableRawPointer?
  /// Octets gathered so far.
  public private(set) var count = 0
  /// Octets that fit before the memory must grow.
  public private(set) var capacity: Int

  /// - Parameter capacity: octets to reserve at first use.
  public init(capacity: Int) {
    self.capacity = max(64, capacity)
    unsafe memory = nil
  }

  deinit { unsafe memory?.deallocate() }

  /// Octets that still fit without growing.
  public var room: Int { capacity - count }

  /// Appends a copy of `span`, growing the memory by doubling when it is full.
  public mutating func append(_ span: Span<UInt8>) {
    guard span.count > 0 else { return }
    reserve(span.count)
    unsafe span.withUnsafeBytes { source in
      unsafe (memory! + count).copyMemory(from: source.baseAddress!, byteCount: source.count)
    }
    count += span.count
  }

  /// Appends a copy of `bytes`.
  public mutating func append(_ bytes: [UInt8]) { append(bytes.span) }

  /// What was gathered; the builder is empty after.
  public mutating func freeze() -> Chunk {
    guard let taken = unsafe memory else { return .empty }
    let chunk = unsafe Chunk(storage: ChunkStorage(taking: taken), lower: 0, upper: count)
    unsafe memory = nil
    count = 0
    return chunk
  }

  private mutating func reserve(_ more: Int) {
    if unsafe memory != nil, count + more <= capacity { return }
    while capacity < count + more { capacity *= 2 }
    let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    if let old = unsafe memory {
      unsafe grown.copyMemory(from: old, byteCount: count)
      unsafe old.deallocate()
    }
    unsafe memory = grown
  }
}

extension Array where Element == UInt8 {
  /// A copy of the octets of a span.
  public init(copying span: Span<UInt8>) {
    self = unsafe span.withUnsafeBufferPointer { unsafe Array($0) }
  }

  /// The octets of a text in UTF-8.
  public init(utf8 text: String) { self = Array(text.utf8) }

  /// Appends a copy of the octets of a span.
  public mutating func append(copying span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}
