import EventLoop
import Testing

@Suite("Deadlines")
struct DeadlineWheelTests {
  /// A clock that the test sets.
  final class Clock {
    var milliseconds: UInt64 = 10_500
  }

  let clock = Clock()

  func makeWheel() -> DeadlineWheel { DeadlineWheel { [clock] in clock.milliseconds } }

  @Test("never early, and at the full second after")
  func roundsUp() {
    let wheel = makeWheel()
    var fired = 0
    _ = wheel.deadline(afterSeconds: 3) { fired += 1 }
    for time in [11_000, 12_000, 13_000, 13_999] as [UInt64] {
      clock.milliseconds = time
      wheel.turn()
      #expect(fired == 0, "at \(time)")
    }
    clock.milliseconds = 14_000
    wheel.turn()
    wheel.turn()
    #expect(fired == 1)
    #expect(wheel.count == 0)
  }

  @Test("renewing counts from now, in both directions")
  func renews() {
    let wheel = makeWheel()
    var fired: [String] = []
    let longer = wheel.deadline(afterSeconds: 2) { fired.append("longer") }
    let shorter = wheel.deadline(afterSeconds: 600) { fired.append("shorter") }
    longer.renew(afterSeconds: 10)
    shorter.renew(afterSeconds: 4)
    clock.milliseconds += 6000
    wheel.turn()
    #expect(fired == ["shorter"])
    longer.renew(afterSeconds: 10)
    clock.milliseconds += 9000
    wheel.turn()
    #expect(fired == ["shorter"])
    clock.milliseconds += 2000
    wheel.turn()
    #expect(fired == ["shorter", "longer"])
    longer.renew(afterSeconds: 1)
    clock.milliseconds += 5000
    wheel.turn()
    #expect(fired.count == 2 && !longer.isPending)
  }

  @Test("a body may cancel and renew others that are due in the same second, and set new ones")
  func bodiesInterfere() {
    let wheel = makeWheel()
    var fired: [Int] = []
    var others: [Deadline] = []
    let first = wheel.deadline(afterSeconds: 1) {
      fired.append(0)
      others[0].cancel()
      others[1].renew(afterSeconds: 5)
      _ = wheel.deadline(afterSeconds: 1) { fired.append(9) }
    }
    others.append(wheel.deadline(afterSeconds: 1) { fired.append(1) })
    others.append(wheel.deadline(afterSeconds: 1) { fired.append(2) })
    clock.milliseconds += 3000
    wheel.turn()
    #expect(fired == [0])
    #expect(!first.isPending && !others[0].isPending && others[1].isPending)
    clock.milliseconds += 10_000
    wheel.turn()
    #expect(fired == [0, 9, 2] || fired == [0, 2, 9])
    #expect(wheel.count == 0)
  }

  @Test("a cancelled deadline lets go of what its body owned, and what that cancels in turn is cancelled")
  func cancelReleases() {
    final class Session {
      var deadlines: [Deadline] = []
      deinit { for deadline in deadlines { deadline.cancel() } }
    }
    let wheel = makeWheel()
    var session: Session? = Session()
    weak let seen = session
    let owner = wheel.deadline(afterSeconds: 5) { [session] in _ = session }
    session?.deadlines = (0..<20).map { _ in wheel.deadline(afterSeconds: 5) {} }
    session = nil
    #expect(wheel.count == 21)
    owner.cancel()
    #expect(seen == nil)
    #expect(wheel.count == 0)
    for _ in 0..<10 { _ = wheel.deadline(afterSeconds: 7) {} }
    wheel.removeAll()
    #expect(wheel.count == 0)
  }

  @Test("a thousand deadlines against a plain list", arguments: [1, 2, 3] as [UInt64])
  func agreesWithList(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let wheel = makeWheel()
    var due: [Int: UInt64] = [:]  // id → earliest millisecond
    var firedEarly = 0
    var firedUnknown = 0
    var deadlines: [Int: Deadline] = [:]
    func wait() -> Int { Bool.random(using: &random) ? Int.random(in: 0...20, using: &random) : Int.random(in: 0...3000, using: &random) }
    for step in 0..<4000 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let seconds = wait()
        due[step] = clock.milliseconds + UInt64(seconds) * 1000
        deadlines[step] = wheel.deadline(afterSeconds: seconds) { [clock] in
          guard let earliest = due.removeValue(forKey: step) else { return firedUnknown += 1 }
          if clock.milliseconds < earliest { firedEarly += 1 }
        }
      case 1:
        if let (id, deadline) = deadlines.randomElement(using: &random), due[id] != nil {
          let seconds = wait()
          due[id] = clock.milliseconds + UInt64(seconds) * 1000
          deadline.renew(afterSeconds: seconds)
        }
      case 2:
        if let (id, deadline) = deadlines.randomElement(using: &random) {
          deadline.cancel()
          due[id] = nil
          deadlines[id] = nil
        }
      default:
        let jump: UInt64 = Int.random(in: 0..<50, using: &random) == 0 ? 1_000_000 : 1700
        clock.milliseconds += UInt64.random(in: 0...jump, using: &random)
        wheel.turn()
        // A second is served at its beginning: what was due a full second ago is over.
        let late = due.values.count { $0 + 1000 <= clock.milliseconds }
        #expect(late == 0)
      }
      #expect(wheel.count == due.count)
    }
    #expect(firedEarly == 0 && firedUnknown == 0)
    wheel.removeAll()
    #expect(wheel.count == 0)
  }

  @Test("a loop's deadlines fire, and end with it")
  func onLoop() throws {
    var fired = false
    var never: Deadline?
    try withLoop { loop in
      never = loop.deadline(afterSeconds: 3600) { Issue.record("an hour passed") }
      let begun = loop.now
      _ = loop.deadline(afterSeconds: 0) {
        fired = true
        #expect(loop.now >= begun)
        loop.stop()
      }
    }
    #expect(fired)
    #expect(never?.isPending == false)
    never?.renew(afterSeconds: 1)
  }
}
