import Octets
import Testing

@testable import Gateway

@Suite struct BodyIntakeTests {
  /// A spool in memory that answers when it is told to.
  private final class SlowSpool {
    private(set) var bytes: [UInt8] = []
    private(set) var largest = 0
    private var waiting: [(Completion, (Completion) -> Void)] = []

    func store(_ chunks: [Chunk], _ then: @escaping (Completion) -> Void) {
      let start = bytes.count
      for chunk in chunks { chunk.withSpan { bytes.append(copying: $0) } }
      largest = max(largest, bytes.count - start)
      waiting.append((.stored(StoredRange(segment: 1, offset: UInt64(start), length: UInt64(bytes.count - start))), then))
    }

    var isWaiting: Bool { !waiting.isEmpty }

    func answer() {
      let (completion, then) = waiting.removeFirst()
      then(completion)
    }

    func refuse() { waiting.removeFirst().1(.failed("the disk")) }
  }

  private func body(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

  private func octets(_ content: BodyContent, _ spool: SlowSpool) -> [UInt8] {
    content.pieces.flatMap { piece -> [UInt8] in
      switch piece {
      case .memory(let chunk): chunk.withSpan { [UInt8](copying: $0) }
      case .stored(let range): Array(spool.bytes[Int(range.offset)..<Int(range.offset + range.length)])
      }
    }
  }

  /// However the body is cut on its way, and whatever size was announced: its octets in their order, in pieces of the size asked for.
  @Test(arguments: [0, 1, 4095, 4096, 65_536, 65_537, 262_144, 262_145, 1_000_000], [0, 5000, 1_000_000])
  func theBodyIsWhatCame(count: Int, announced: Int) {
    let whole = body(count)
    for (step, keepsFrom) in [(1000, .max), (1460, .max), (65_536, .max), (70_000, .max), (70_000, 0), (300_000, 65_536), (600_000, 0)] {
      let (spool, counters) = (SlowSpool(), Counters())
      let intake = BodyIntake(pieceBytes: 262_144, expectedBytes: announced, counters: counters, store: spool.store)
      var start = 0
      while start < count {
        let end = min(count, start + step)
        if end - start >= keepsFrom, start % 3 != 1 {
          intake.append(Chunk(Array(whole[start..<end])))
        } else {
          intake.append(whole[start..<end].span)
        }
        start = end
        #expect(counters.intakeBytesInMemory.load(ordering: .relaxed) == start - spool.bytes.count + intake.bytesUnderway)
        if intake.bytesUnderway >= 524_288 { spool.answer() }
      }
      while spool.isWaiting { spool.answer() }
      #expect(intake.isSettled)
      let content = intake.finish()
      #expect(content.count == count)
      #expect(octets(content, spool) == whole)
      #expect(spool.largest <= 262_144)
      #expect(content.storedRanges.count == count / 262_144)
      intake.forget()
      #expect(counters.intakeBytesInMemory.load(ordering: .relaxed) == 0)
    }
  }

  @Test func memoryThatIsShortIsGivenBackEarly() {
    let (spool, counters) = (SlowSpool(), Counters())
    let intake = BodyIntake(pieceBytes: 262_144, expectedBytes: 0, counters: counters, store: spool.store)
    intake.append(body(16_383).span)
    intake.handOverEarly()
    #expect(intake.isSettled, "too little to be worth a record")
    intake.append(body(1).span)
    intake.handOverEarly()
    #expect(intake.bytesUnderway == 16_384)
    spool.answer()
    #expect(counters.intakeBytesInMemory.load(ordering: .relaxed) == 0)
    #expect(intake.finish().storedRanges.map(\.length) == [16_384])
  }

  @Test func aPieceThatCannotBeStoredIsAFailure() {
    let (spool, counters) = (SlowSpool(), Counters())
    let intake = BodyIntake(pieceBytes: 4096, expectedBytes: 0, counters: counters, store: spool.store)
    intake.append(body(5000).span)
    spool.refuse()
    #expect(intake.failure == "the disk")
    intake.forget()
    intake.forget()
    #expect(counters.intakeBytesInMemory.load(ordering: .relaxed) == 0)
  }
}
