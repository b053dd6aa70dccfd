import EventLoop
import Foundation
import Testing

@Suite("Loop")
struct LoopTests {
  @Test("timers, once and again, in the order of their times")
  func timers() throws {
    var seen: [String] = []
    try withLoop { loop in
      loop.timer(after: 20) { seen.append("twenty") }
      loop.timer(after: 1) { seen.append("one") }
      let cancelled = loop.timer(after: 5) { seen.append("cancelled") }
      cancelled.cancel()
      #expect(!cancelled.isPending)
      var rounds = 0
      var ticking: LoopTimer?
      ticking = loop.timer(after: 30, repeat: 1) {
        rounds += 1
        seen.append("tick")
        if rounds == 3 {
          ticking?.cancel()
          loop.timer(after: 10) { loop.stop() }
        }
      }
    }
    #expect(seen == ["one", "twenty", "tick", "tick", "tick"])
  }

  @Test("soon keeps the order, and what is put off within it comes a round later")
  func soon() throws {
    var seen: [Int] = []
    try withLoop { loop in
      loop.soon {
        seen.append(1)
        loop.soon {
          seen.append(3)
          loop.stop()
          loop.soon { seen.append(99) }
        }
      }
      loop.soon { seen.append(2) }
    }
    #expect(seen == [1, 2, 3])
  }

  @Test("stop ends it at once: nothing that was due is called any more, everything is let go")
  func stopFrees() throws {
    final class Witness {}
    weak var witness: Witness?
    weak var seen: Loop?
    do {
      let kept = Witness()
      witness = kept
      let loop = try Loop()
      seen = loop
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { [kept] _ in _ = kept }
      loop.connect(host: "127.0.0.1", port: listener.boundPort, timeout: 1000) { [kept] result in
        _ = kept
        let stream = try? result.get()
        stream?.onRead = { [kept, stream] _ in _ = (kept, stream) }
        stream?.onFailure = { [kept] _ in _ = kept }
        stream?.startReading()
        loop.timer(after: 3_600_000) { [kept] in _ = kept }
        _ = loop.deadline(afterSeconds: 3600) { [kept] in _ = kept }
        loop.soon { [kept] in
          _ = kept
          Issue.record("a callback after stop")
        }
        loop.stop()
        #expect(!loop.isOpen)
      }
      loop.run()
      #expect(!listener.isOpen)
      #expect(loop.now == 0)
      // Harmless afterwards.
      loop.stop()
      loop.soon {}
      #expect(!loop.timer(after: 1) {}.isPending)
      #expect(!loop.deadline(afterSeconds: 1) {}.isPending)
      #expect(!loop.mailbox { (_: Int) in }.send(1))
      #expect(throws: LoopError.self) { try loop.listen(host: "127.0.0.1", port: 0) { _ in } }
    }
    #expect(witness == nil)
    #expect(seen == nil)
  }

  @Test("a loop that never ran can be stopped, and can be forgotten")
  func neverRun() throws {
    weak var forgotten: Loop?
    do {
      let loop = try Loop()
      forgotten = loop
      loop.timer(after: 1) {}
      loop.stop()
      #expect(!loop.isOpen)
      _ = try Loop()
    }
    #expect(forgotten == nil)
  }

  @Test("other threads reach it by its remote")
  func remote() throws {
    let onThread = Shared(false)
    var helper: Helper?
    var remote: LoopRemote?
    try withLoop { loop in
      let reach = loop.remote
      remote = reach
      helper = Helper {
        reach.perform { onThread.change { [here = $0.isOnThread] in $0 = here } }
        reach.stop()
      }
    }
    helper?.join()
    #expect(onThread.current)
    #expect(remote?.perform { _ in } == false)
  }

  @Test("signals come to every loop that watches, until it no longer does")
  func signals() throws {
    var seen = 0
    try withLoop { loop in
      try loop.onSignal(SIGUSR2) {
        seen += 1
        if seen == 2 { loop.stop() } else { kill(getpid(), SIGUSR2) }
      }
      let unwatched = try loop.onSignal(SIGUSR2) { Issue.record("cancelled") }
      unwatched.cancel()
      kill(getpid(), SIGUSR2)
    }
    #expect(seen == 2)
    try withLoop { loop in
      #expect(throws: LoopError.self) { try loop.onSignal(9999) {} }
      loop.stop()
    }
  }
}

@Suite("Mailbox")
struct MailboxTests {
  @Test("eight threads, 100,000 messages: none lost, each thread's in order")
  func order() throws {
    struct Message: Sendable {
      var sender: Int
      var number: Int
    }
    let each = 12_500
    var last = Array(repeating: -1, count: 8)
    var count = 0
    var outOfOrder = 0
    var helpers: [Helper] = []
    try withLoop { loop in
      let mailbox = loop.mailbox { (message: Message) in
        if message.number != last[message.sender] + 1 { outOfOrder += 1 }
        last[message.sender] = message.number
        count += 1
        if count == 8 * each { loop.stop() }
      }
      helpers = (0..<8).map { sender in
        Helper { for number in 0..<each { mailbox.send(Message(sender: sender, number: number)) } }
      }
    }
    for helper in helpers { helper.join() }
    #expect(count == 8 * each)
    #expect(outOfOrder == 0)
  }

  @Test("what is sent after the end is dropped, while others are still sending")
  func afterStop() throws {
    var mailbox: Mailbox<Int>?
    var helpers: [Helper] = []
    let refused = Shared(0)
    var handled = 0
    var handledAfterStop = 0
    try withLoop { loop in
      let made = loop.mailbox { (_: Int) in
        handled += 1
        if !loop.isOpen { handledAfterStop += 1 }
        if handled == 1000 { loop.stop() }
      }
      mailbox = made
      helpers = (0..<4).map { _ in
        Helper {
          var number = 0
          while made.send(number) { number += 1 }
          refused.change { $0 += 1 }
        }
      }
    }
    for helper in helpers { helper.join() }
    #expect(refused.current == 4)
    #expect(handled == 1000)
    #expect(handledAfterStop == 0)
    #expect(mailbox?.send(1) == false)
  }

  @Test("a handler that sends to its own mailbox does not keep the loop from its other work")
  func feedsItself() throws {
    var rounds = 0
    var stopped = false
    try withLoop { loop in
      var mailbox: Mailbox<Int>?
      mailbox = loop.mailbox { (number: Int) in
        rounds += 1
        mailbox?.send(number + 1)
      }
      mailbox?.send(0)
      loop.timer(after: 5) {
        stopped = true
        mailbox?.close()
        #expect(mailbox?.send(1) == false)
        loop.stop()
      }
    }
    #expect(stopped)
    #expect(rounds > 1)
  }
}
