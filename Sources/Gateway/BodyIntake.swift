import Octets

/// Gathers a body as it arrives: full pieces go to the spool at once, the rest stays in memory until the commit.
///
/// A body is copied once, out of the read slab, and large parts of it not even then: they are kept where they were read (house rule 3).
/// From then on everybody points at it. It is gathered in slabs of a fixed size, which never grow: to grow would be to copy again.
final class BodyIntake {
  /// Size of a slab, in octets.
  static let slabBytes = 64 * 1024

  private let pieceBytes: Int
  private let store: ([Chunk], @escaping (Completion) -> Void) -> Void
  private let counters: Counters
  /// The slab that is being filled, and the full ones before it that no piece was made of yet.
  private var slab: ChunkBuilder
  private var full: [Chunk] = []
  private var fullBytes = 0
  private var pieces: [Piece] = []
  /// Octets handed to the spool and not yet written.
  private(set) var bytesUnderway = 0
  /// Why a piece could not be stored; nil while all is well.
  private(set) var failure: String?
  /// Called when a piece was stored, or could not be.
  var onProgress: (() -> Void)?
  private var abandoned = false

  /// A piece that went to the spool.
  private enum Piece {
    case underway
    case stored(StoredRange)
    case lost
  }

  /// - Parameters:
  ///   - pieceBytes: size of the pieces that go to the spool early.
  ///   - expectedBytes: announced size, for the first slab.
  ///   - store: appends a piece to the spool and answers with where it lies.
  init(
    pieceBytes: Int, expectedBytes: Int, counters: Counters, store: @escaping ([Chunk], @escaping (Completion) -> Void) -> Void
  ) {
    self.pieceBytes = pieceBytes
    self.store = store
    self.counters = counters
    slab = ChunkBuilder(capacity: max(4096, min(expectedBytes, BodyIntake.slabBytes)))
  }

  /// Octets that are in memory and that no piece was made of.
  private var gathered: Int { fullBytes + slab.count }

  /// Appends octets of the body.
  func append(_ octets: Span<UInt8>) {
    counters.intakeBytesInMemory.add(octets.count, ordering: .relaxed)
    var next = 0
    while next < octets.count {
      if slab.room == 0 {
        keepSlab()
        slab = ChunkBuilder(capacity: BodyIntake.slabBytes)
      }
      let end = next + min(slab.room, octets.count - next, pieceBytes - gathered)
      slab.append(octets.extracting(next..<end))
      next = end
      if gathered >= pieceBytes { handOver() }
    }
  }

  /// Appends octets of the body where they are.
  func append(_ kept: Chunk) {
    counters.intakeBytesInMemory.add(kept.count, ordering: .relaxed)
    keepSlab()
    slab = ChunkBuilder(capacity: BodyIntake.slabBytes)
    var next = 0
    while next < kept.count {
      let end = min(kept.count, next + pieceBytes - gathered)
      full.append(kept[next..<end])
      fullBytes += end - next
      next = end
      if gathered >= pieceBytes { handOver() }
    }
  }

  /// Hands over what there is before a piece is full: memory is short.
  func handOverEarly() { if gathered >= 16_384 { handOver() } }

  private func keepSlab() {
    let chunk = slab.freeze()
    if chunk.isEmpty { return }
    full.append(chunk)
    fullBytes += chunk.count
  }

  /// Gives what was gathered to the spool.
  private func handOver() {
    keepSlab()
    let (chunks, bytes) = (full, fullBytes)
    (full, fullBytes) = ([], 0)
    let index = pieces.count
    pieces.append(.underway)
    bytesUnderway += bytes
    store(chunks) { [self] completion in
      bytesUnderway -= bytes
      counters.intakeBytesInMemory.subtract(bytes, ordering: .relaxed)
      switch completion {
      case .stored(let range): pieces[index] = .stored(range)
      case .failed(let reason):
        failure = reason
        pieces[index] = .lost
      default: preconditionFailure("a piece's answer of another kind")
      }
      onProgress?()
    }
  }

  /// True when every piece that was handed over is stored.
  var isSettled: Bool { bytesUnderway == 0 }

  /// The body as it stands. Call when it is complete and settled.
  func finish() -> BodyContent {
    keepSlab()
    let stored = pieces.compactMap { piece -> BodyContent.Piece? in
      guard case .stored(let range) = piece else { return nil }
      return .stored(range)
    }
    return BodyContent(pieces: stored + full.map { .memory($0) })
  }

  /// Gives back the memory that is counted for this body.
  func forget() {
    guard !abandoned else { return }
    abandoned = true
    counters.intakeBytesInMemory.subtract(gathered, ordering: .relaxed)
    _ = slab.freeze()
    (full, fullBytes) = ([], 0)
  }
}
