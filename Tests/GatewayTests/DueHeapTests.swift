import Metering
import Testing

@testable import Gateway

@Suite struct DueHeapTests {
  @Test func givesOutInOrderOfTimeAndNothingEarly() {
    var heap = DueHeap()
    var seed: UInt64 = 42
    var times: [Int64] = []
    for number in 0..<500 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let at = Int64(seed >> 40) % 1000
      times.append(at)
      heap.insert("\(number)", at: at)
    }
    var out: [Int64] = []
    for now in stride(from: Int64(0), through: 1000, by: 50) {
      while let id = heap.popDue(at: now), let number = Int(id) {
        #expect(times[number] <= now)
        out.append(times[number])
      }
    }
    #expect(out.count == 500)
    #expect(out == out.sorted())
    #expect(heap.popDue(at: .max) == nil)
  }
}

@Suite struct AdmissionTests {
  @Test func boundsAllAndEachPeer() {
    let refused = Counts<Bound>()
    let admission = Admission(maximum: 3, maximumPerPeer: 2, refused: refused)
    #expect(admission.enter("a", open: 0) == nil)
    #expect(admission.enter("a", open: 1) == nil)
    #expect(admission.enter("a", open: 2) != nil)
    #expect(admission.enter("b", open: 2) == nil)
    #expect(admission.enter("c", open: 3) != nil)
    #expect(refused[.connections] == 1)
    #expect(refused[.connectionsPerPeer] == 1)
    admission.leave("a")
    #expect(admission.enter("a", open: 2) == nil)
  }
}
