import Octets

/// Gathers a body as it arrives: full pieces go to the spool at once, the rest stays in memory until the commit.
///
/// A body is copied once, out of the read slab; from then on everybody points at it (house rule 3).
final class BodyIntake {
  private let pieceBytes: Int
  private let store: (Chunk, @escaping (Completion) -> Void) -> Void
  private let counters: Counters
  private var builder: ChunkBuilder
  private var slots: [Slot] = []
  /// Octets handed to the spool and not yet written.
  private(set) var bytesUnderway = 0
  /// Why a piece could not be stored; nil while all is well.
  private(set) var failure: String?
  /// Called when a piece was stored, or could not be.
  var onProgress: (() -> Void)?
  private var abandoned = false

  /// A piece of the body: in memory until the spool has it.
  private enum Slot {
    case memory(Chunk)
    case underway(Chunk)
    case stored(StoredRange)
  }

  /// - Parameters:
  ///   - pieceBytes: size of the pieces that go to the spool early.
  ///   - expectedBytes: announced size, for the first reservation.
  ///   - store: appends a piece to the spool and answers with where it lies.
  init(
    pieceBytes: Int, expectedBytes: Int, counters: Counters, store: @escaping (Chunk, @escaping (Completion) -> Void) -> Void
  ) {
    self.pieceBytes = pieceBytes
    self.store = store
    self.counters = counters
    builder = ChunkBuilder(capacity: max(4096, min(expectedBytes, pieceBytes)))
  }

  /// Appends octets of the body.
  func append(_ octets: Span<UInt8>) {
    counters.intakeBytesInMemory.add(octets.count, ordering: .relaxed)
    builder.append(octets)
    if builder.count >= pieceBytes { handOver() }
  }

  /// Hands over what there is before a piece is full: memory is short.
  func handOverEarly() { if builder.count >= 16_384 { handOver() } }

  /// Gives what was gathered to the spool.
  private func handOver() {
    let chunk = builder.freeze()
    let index = slots.count
    slots.append(.underway(chunk))
    bytesUnderway += chunk.count
    store(chunk) { [self] completion in
      bytesUnderway -= chunk.count
      counters.intakeBytesInMemory.subtract(chunk.count, ordering: .relaxed)
      switch completion {
      case .stored(let range): slots[index] = .stored(range)
      case .failed(let reason):
        failure = reason
        slots[index] = .memory(.empty)
      default: preconditionFailure("a piece's answer of another kind")
      }
      onProgress?()
    }
  }

  /// True when every piece that was handed over is stored.
  var isSettled: Bool { bytesUnderway == 0 }

  /// The body as it stands. Call when it is complete and settled.
  func finish() -> BodyContent {
    let rest = builder.freeze()
    if !rest.isEmpty { slots.append(.memory(rest)) }
    return BodyContent(
      pieces: slots.compactMap { slot in
        switch slot {
        case .memory(let chunk), .underway(let chunk): .memory(chunk)
        case .stored(let range): .stored(range)
        }
      })
  }

  /// Gives back the memory that is counted for this body.
  func forget() {
    guard !abandoned else { return }
    abandoned = true
    var held = builder.count
    for slot in slots { if case .memory(let chunk) = slot { held += chunk.count } }
    counters.intakeBytesInMemory.subtract(held, ordering: .relaxed)
    _ = builder.freeze()
  }
}
