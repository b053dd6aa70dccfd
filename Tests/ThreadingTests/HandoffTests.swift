import Glibc
import Testing

@testable import Threading

@Suite struct HandoffTests {
  @Test func everyItemIsTakenOnceAndInOrderForEachSender() {
    let queue = Handoff<(sender: Int, number: Int)>()
    let senders = (0..<4).map { sender in
      WorkerThread(name: "sender-\(sender)") { for number in 0..<1000 { queue.send((sender, number)) } }
    }
    var next = [0, 0, 0, 0]
    var taken = 0
    while taken < 4000, let items = queue.take(atMost: 7) {
      #expect(items.count <= 7)
      for item in items {
        #expect(item.number == next[item.sender])
        next[item.sender] += 1
      }
      taken += items.count
    }
    for sender in senders { sender.join() }
    #expect(next == [1000, 1000, 1000, 1000])
    #expect(queue.count == 0)
  }

  @Test func aClosedQueueGivesOutWhatItHasAndTakesNoMore() {
    let queue = Handoff<Int>()
    queue.send(1)
    queue.close()
    #expect(!queue.send(2))
    #expect(queue.take() == [1])
    #expect(queue.take() == nil)
  }

  @Test func aSleepingTakerIsWokenByClosing() {
    let queue = Handoff<Int>()
    let taker = WorkerThread(name: "taker") { while queue.take() != nil {} }
    queue.close()
    taker.join()
    #expect(queue.take() == nil)
  }

  @Test func whatIsLeftIsTakenWithTheNextOrAfterAWake() {
    let queue = Handoff<Int>()
    let taken = Handoff<[Int]>()
    let taker = WorkerThread(name: "taker") { while let items = queue.take() { taken.send(items) } }
    #expect(queue.leave(1))
    queue.wake()
    #expect(taken.take(atMost: 1) == [[1]])
    #expect(queue.leave(2))
    queue.send(3)
    #expect(taken.take()?.flatMap { $0 }.first == 2)
    queue.leave(4)
    queue.close()
    taker.join()
    #expect(!queue.leave(5))
    #expect(taken.take()?.flatMap { $0 }.last == 4)
  }

  @Test func aThreadMayStandBackForOthers() {
    let found = Handoff<Int32>()
    WorkerThread(name: "nice", niceness: 7) { found.send(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)) }.join()
    #expect(found.take() == [7])
    #expect(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) == 0)
  }

  @Test func waitingEndsWithAnItemOrWithTime() {
    let queue = Handoff<Int>()
    queue.wait(forSeconds: 0)
    queue.send(5)
    queue.wait(forSeconds: 1000)
    #expect(queue.take() == [5])
  }
}
