import Testing

@testable import ClockWatch

/// A kernel of our own: its clocks run as they are told, and the maximum error grows as the real one's does.
private struct Kernel {
  static let start: Int64 = 1_795_254_266_000_000
  var realtime = Kernel.start
  var boottime: Int64 = 5_000_000
  var offset: Int64 = 0
  var estimated: Int64 = 0
  var maximum: Int64 = 30_000
  var fault: String?

  mutating func run(seconds: Int64) {
    realtime += seconds * 1_000_000
    boottime += seconds * 1_000_000
    maximum = min(16_000_000, maximum + seconds * 500)
  }

  var reading: ClockReading {
    ClockReading(
      realtimeMicroseconds: realtime, boottimeMicroseconds: boottime, offsetMicroseconds: offset, estimatedErrorMicroseconds: estimated,
      maximumErrorMicroseconds: maximum, fault: fault)
  }
}

@Suite struct ClockJudgeTests {
  @Test func aClockThatIsKeptIsTrusted() {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy())
    for _ in 0..<100 {
      let look = judge.judge(kernel.reading)
      #expect(look.judgement == .trusted)
      #expect(!look.isChange)
      #expect(look.stepMicroseconds == nil)
      kernel.run(seconds: 1)
    }
  }

  @Test func aClockThatNobodyKeepsIsNotTrustedWhereThatIsRequired() {
    var kernel = Kernel()
    kernel.maximum = 16_000_000
    var strict = ClockJudge(policy: ClockPolicy())
    let look = strict.judge(kernel.reading)
    #expect(look.judgement == .untrusted(reason: "the clock is not synchronized: no time service keeps it"))
    #expect(look.isChange)
    #expect(look.errorMicroseconds == nil)
    #expect(!strict.judge(kernel.reading).isChange)
    kernel.maximum = 20_000
    #expect(strict.judge(kernel.reading).judgement == .trusted)
    kernel.maximum = 16_000_000

    var mild = ClockJudge(policy: ClockPolicy(requiresSynchronization: false))
    #expect(mild.judge(kernel.reading).judgement == .trusted)
    // What the kernel knows to be off counts all the same.
    kernel.offset = -1_000_001
    #expect(
      mild.judge(kernel.reading).judgement
        == .untrusted(reason: "the clock may be 1000.001 ms off UTC, more than 1000 ms"))
  }

  @Test func aKernelThatDoesNotSayIsNotTrusted() {
    var kernel = Kernel()
    kernel.fault = "adjtimex(2) answers error 1"
    var judge = ClockJudge(policy: ClockPolicy())
    #expect(judge.judge(kernel.reading).judgement == .untrusted(reason: "the clock's state is unknown: adjtimex(2) answers error 1"))
  }

  @Test(arguments: [(999_999, true), (1_000_000, true), (1_000_001, false), (-1_000_000, true), (-1_000_001, false)])
  func theLimitIsExact(offset: Int64, isTrusted: Bool) {
    var kernel = Kernel()
    kernel.maximum = 0
    kernel.offset = offset
    var judge = ClockJudge(policy: ClockPolicy())
    #expect(judge.judge(kernel.reading).judgement.isTrusted == isTrusted)
  }

  @Test func theServicesOwnEstimateCounts() {
    var kernel = Kernel()
    kernel.maximum = 0
    kernel.estimated = 600_000
    kernel.offset = 300_000
    var judge = ClockJudge(policy: ClockPolicy(limitMilliseconds: 900))
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    kernel.offset = 300_001
    #expect(!judge.judge(kernel.reading).judgement.isTrusted)
  }

  /// systemd-timesyncd asks each 2048 s at its slowest: the kernel's bound is above a second before each correction, and no alarm is due.
  @Test func aSlowServiceIsNoAlarm() {
    var kernel = Kernel()
    kernel.maximum = 900_000
    var judge = ClockJudge(policy: ClockPolicy())
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    kernel.run(seconds: 1)
    kernel.maximum = 10_000
    #expect(judge.judge(kernel.reading).errorMicroseconds == 10_000)
    for _ in 0..<4096 {
      kernel.run(seconds: 1)
      #expect(judge.judge(kernel.reading).judgement == .trusted)
    }
    #expect(kernel.maximum > 2_000_000)
    #expect(judge.judge(kernel.reading).errorMicroseconds == Int64(71_440))
  }

  /// Without a correction in sight the kernel's own bound holds.
  @Test func aBoundThatWasNeverCorrectedCountsAsItIs() {
    var kernel = Kernel()
    kernel.maximum = 990_000
    var judge = ClockJudge(policy: ClockPolicy())
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    kernel.run(seconds: 30)
    #expect(!judge.judge(kernel.reading).judgement.isTrusted)
  }

  /// Corrections are seen at whatever pace looks come, and growth is never taken for one.
  @Test(arguments: [1, 2, 7, 60, 600])
  func growthIsNoCorrection(pace: Int64) {
    var kernel = Kernel()
    kernel.maximum = 100_000
    var judge = ClockJudge(policy: ClockPolicy())
    for _ in 0..<20 {
      #expect(judge.judge(kernel.reading).errorMicroseconds == kernel.maximum)
      kernel.run(seconds: pace)
    }
    kernel.maximum = 50_000
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: pace)
    #expect(judge.judge(kernel.reading).errorMicroseconds == 50_000 + pace * 15)
  }

  /// A service that has to make do with a worse source says so by a bound that grows faster than by itself.
  @Test func aBoundThatBecomesWorseIsBelieved() {
    var kernel = Kernel()
    kernel.maximum = 100_000
    var judge = ClockJudge(policy: ClockPolicy())
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 1)
    kernel.maximum = 20_000
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    kernel.run(seconds: 64)
    kernel.maximum = 3_000_000
    #expect(!judge.judge(kernel.reading).judgement.isTrusted)
    kernel.run(seconds: 1)
    #expect(judge.judge(kernel.reading).errorMicroseconds == 3_000_015)
    kernel.maximum = 20_000
    #expect(judge.judge(kernel.reading).judgement == .trusted)
  }

  // MARK: Steps

  @Test(arguments: [3_600_000_000, -3_600_000_000, 1_000_001, -1_000_001] as [Int64])
  func aStepIsAnAlarmUntilTheClockIsQuiet(step: Int64) {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy())
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 1)
    kernel.realtime += step
    var look = judge.judge(kernel.reading)
    #expect(look.stepMicroseconds == step)
    #expect(look.isChange)
    #expect(!look.judgement.isTrusted)
    for _ in 0..<59 {
      kernel.run(seconds: 1)
      look = judge.judge(kernel.reading)
      #expect(!look.judgement.isTrusted)
      #expect(look.stepMicroseconds == nil)
    }
    kernel.run(seconds: 1)
    look = judge.judge(kernel.reading)
    #expect(look.judgement == .trusted)
    #expect(look.isChange)
  }

  @Test func anotherStepBeginsTheQuietAnew() {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy(quietSeconds: 10))
    _ = judge.judge(kernel.reading)
    kernel.realtime += 5_000_000
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 9)
    kernel.realtime -= 5_000_000
    #expect(judge.judge(kernel.reading).stepMicroseconds == -5_000_000)
    kernel.run(seconds: 9)
    #expect(!judge.judge(kernel.reading).judgement.isTrusted)
    kernel.run(seconds: 1)
    #expect(judge.judge(kernel.reading).judgement == .trusted)
  }

  /// A leap second is a step of just one second, and no alarm.
  @Test func aLeapSecondPasses() {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy())
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 1)
    kernel.realtime -= 1_000_000
    #expect(judge.judge(kernel.reading).judgement == .trusted)
  }

  @Test func smallStepsInARowAddUp() {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy())
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 1)
    kernel.realtime += 600_000
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    kernel.run(seconds: 1)
    kernel.realtime += 600_000
    #expect(judge.judge(kernel.reading).stepMicroseconds == 1_200_000)
    // Far from each other they are two small ones.
    var slow = ClockJudge(policy: ClockPolicy())
    _ = slow.judge(kernel.reading)
    for _ in 0..<3 {
      kernel.run(seconds: 60)
      kernel.realtime += 600_000
      #expect(slow.judge(kernel.reading).judgement == .trusted)
      kernel.run(seconds: 60)
      #expect(slow.judge(kernel.reading).judgement == .trusted)
    }
  }

  /// Sleep of the machine counts for both clocks.
  @Test func aLongSilenceIsNoStep() {
    var kernel = Kernel()
    var judge = ClockJudge(policy: ClockPolicy(requiresSynchronization: false))
    _ = judge.judge(kernel.reading)
    kernel.run(seconds: 8 * 3600)
    #expect(judge.judge(kernel.reading).stepMicroseconds == nil)
  }

  @Test func anotherPolicyHoldsFromTheNextLook() {
    var kernel = Kernel()
    kernel.offset = 400_000
    var judge = ClockJudge(policy: ClockPolicy())
    #expect(judge.judge(kernel.reading).judgement == .trusted)
    judge.change(ClockPolicy(limitMilliseconds: 100))
    #expect(!judge.judge(kernel.reading).judgement.isTrusted)
  }

  // MARK: Words and the real kernel

  @Test func words() {
    var kernel = Kernel()
    kernel.offset = 120
    kernel.maximum = 34_500
    #expect(kernel.reading.words == "synchronized, offset +0.120 ms, at most 34.500 ms off")
    kernel.offset = -1_000_007
    #expect(kernel.reading.words == "synchronized, offset -1000.007 ms, at most 34.500 ms off")
    var judge = ClockJudge(policy: ClockPolicy())
    kernel.offset = 0
    #expect(judge.judge(kernel.reading).words == "synchronized, offset 0.000 ms, within 34.500 ms of UTC")
    kernel.maximum = 16_000_000
    #expect(judge.judge(kernel.reading).words == "not synchronized: no time service keeps it")
  }

  @Test func theKernelAnswers() {
    let one = ClockReading.now()
    let two = ClockReading.now()
    #expect(one.realtimeMicroseconds > 1_700_000_000_000_000)
    #expect(one.boottimeMicroseconds > 0)
    #expect(two.boottimeMicroseconds >= one.boottimeMicroseconds)
    #expect(one.fault == nil ? one.maximumErrorMicroseconds >= 0 : !one.isSynchronized)
    let monitor = ClockMonitor(policy: ClockPolicy(requiresSynchronization: false))
    #expect(monitor.last == nil)
    #expect(monitor.look().stepMicroseconds == nil)
    #expect(monitor.last?.reading.fault == one.fault)
  }

  @Test func theMonitorRemembersItsLastLook() {
    let monitor = ClockMonitor(policy: ClockPolicy()) { Kernel().reading }
    #expect(monitor.look() == monitor.last)
    #expect(monitor.last?.judgement == .trusted)
    monitor.change(ClockPolicy(limitMilliseconds: 10))
    #expect(!monitor.look().judgement.isTrusted)
  }
}
