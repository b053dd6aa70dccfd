import Octets
import Spool

/// A body on its way: pieces that lie in the spool already, and behind them what is still in memory.
struct BodyContent: Sendable {
  enum Piece: Sendable {
    case stored(StoredRange)
    case memory(Chunk)

    var count: Int {
      switch self {
      case .stored(let range): Int(range.length)
      case .memory(let chunk): chunk.count
      }
    }
  }

  var pieces: [Piece] = []

  /// Length in octets.
  var count: Int { pieces.reduce(0) { $0 + $1.count } }

  /// No body.
  static let none = BodyContent()

  /// A body that lies in the spool whole.
  static func stored(_ ranges: [StoredRange]) -> BodyContent { BodyContent(pieces: ranges.map { .stored($0) }) }

  /// The octets of a range, pointing into the body.
  func chunks(in range: Range<Int>, spool: Spool) throws -> [Chunk] {
    var chunks: [Chunk] = []
    var start = 0
    for piece in pieces {
      let end = start + piece.count
      let low = max(start, range.lowerBound)
      let high = min(end, range.upperBound)
      if low < high {
        switch piece {
        case .memory(let chunk): chunks.append(chunk[low - start..<high - start])
        case .stored(let stored): chunks.append(try spool.chunk(stored[UInt64(low - start)..<UInt64(high - start)]))
        }
      }
      start = end
    }
    return chunks
  }

  /// The octets of a range, copied; for small parts.
  func octets(in range: Range<Int>, spool: Spool) throws -> [UInt8] {
    var octets: [UInt8] = []
    octets.reserveCapacity(range.count)
    for chunk in try chunks(in: range, spool: spool) { chunk.withSpan { octets.append(copying: $0) } }
    return octets
  }

  /// Pieces of the spool that are held by this body.
  var storedRanges: [StoredRange] {
    pieces.compactMap { if case .stored(let range) = $0 { range } else { nil } }
  }
}
