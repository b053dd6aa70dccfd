import Channels
import Glibc
import Octets
import ScanWire
import Synchronization

/// What all workers of one scanner process have in common.
final class Lineage: Sendable {
  /// Counts the processes that were started.
  let number: UInt64
  let version: ScanVersion
  /// Engine, database and options: what a verdict holds for.
  let basis: String
  /// True once the process is known to be lost. Its workers die with it, whatever they look at.
  let isLost = Atomic(false)
  /// Verdicts that its workers gave.
  let verdicts = Atomic<UInt64>(0)

  init(number: UInt64, version: ScanVersion, options: ScanOptions) {
    self.number = number
    self.version = version
    basis = "\(version.text); \(options.text)"
  }
}

/// A worker process, seen from here: one job at a time goes to it, and one answer comes back.
final class Seat: Sendable {
  let lineage: Lineage
  let pid: Int32
  /// True once it was given a message.
  let isUsed = Atomic(false)
  /// True once its end was reported.
  let isDead = Atomic(false)
  /// Messages that it was given.
  private let jobs = Atomic(0)
  private let maximumJobs: Int
  private let channel: Channel

  /// - Parameter maximumJobs: after so many messages another worker takes its place: whoever has taken this one over, by something in a
  ///   message, sees and judges no more of them than that.
  init(lineage: Lineage, pid: Int32, channel: Channel, maximumJobs: Int = 1000) {
    self.maximumJobs = maximumJobs
    self.lineage = lineage
    self.pid = pid
    self.channel = channel
  }

  /// True when it has had as many messages as one worker shall have.
  var isWorn: Bool { jobs.load(ordering: .relaxed) >= maximumJobs }

  /// Why a worker cannot be used whose channel ended while it had a job.
  static let died = "it died"

  /// What comes of a job.
  enum Answer {
    case finding(ScanVerdict.Finding, views: Int)
    /// The worker cannot be used any more, for this reason; `wasGiven` when it may have had the job.
    case broken(String, wasGiven: Bool)
  }

  /// What comes of giving a job.
  enum Given {
    /// The worker has it; the answer bears this id.
    case job(UInt64)
    case broken(String)
  }

  /// Gives the worker a job.
  func give(_ content: Descriptor, bytes: Int, prefixBytes: Int) -> Given {
    // Nothing can have come yet, and the id cannot be guessed: an answer that names it was made by somebody who has read this very job.
    let job = ScanJob(id: Entropy.word(), bytes: UInt64(bytes), prefixBytes: UInt32(prefixBytes))
    do throws(ChannelError) {
      guard try channel.receive(waitingMilliseconds: 0, takingDescriptor: false) == nil else {
        return .broken("it spoke without being asked")
      }
      try channel.send(job.encoded, passing: content, waitingMilliseconds: 0)
    } catch {
      return .broken(error == .closed ? "it was gone" : error.description)
    }
    isUsed.store(true, ordering: .relaxed)
    jobs.add(1, ordering: .relaxed)
    return .job(job.id)
  }

  /// Waits for the answer to the job that it was given last.
  func hear(_ given: Given, milliseconds: Int) -> Answer {
    let id: UInt64
    switch given {
    case .job(let one): id = one
    case .broken(let why): return .broken(why, wasGiven: false)
    }
    do {
      guard let answer = try channel.receive(waitingMilliseconds: milliseconds, takingDescriptor: false) else {
        return .broken("no answer in \(milliseconds / 1000) seconds", wasGiven: true)
      }
      switch try WorkerReport(decoding: answer.packet) {
      case .verdict(id, let finding, let views):
        lineage.verdicts.add(1, ordering: .relaxed)
        return .finding(finding, views: Int(views))
      // After that the engine may be in any state: the next message gets another worker.
      case .failed(id, let why): return .broken("the engine failed: \(why)", wasGiven: true)
      case .verdict, .failed: return .broken("it answered a question that was not asked", wasGiven: true)
      }
    } catch ChannelError.closed {
      return .broken(Seat.died, wasGiven: true)
    } catch {
      return .broken("it answered nonsense: \(error)", wasGiven: true)
    }
  }

  /// Whether something has come from the worker, or its end, within that time.
  func hasSpoken(withinMilliseconds milliseconds: Int32) -> Bool {
    var polled = [pollfd(fd: socket, events: Int16(POLLIN), revents: 0)]
    return unsafe poll(&polled, 1, milliseconds) != 0
  }

  // MARK: Trial

  /// Its socket, to be polled for the answer to a trial.
  var socket: Int32 { channel.descriptor.number }

  /// Gives the worker a first job without waiting for the answer. The job's id.
  func beginTrial(_ content: Descriptor, bytes: Int, prefixBytes: Int) throws(ChannelError) -> UInt64 {
    let job = ScanJob(id: Entropy.word(), bytes: UInt64(bytes), prefixBytes: UInt32(prefixBytes))
    try channel.send(job.encoded, passing: content, waitingMilliseconds: 0)
    return job.id
  }

  /// What it found in the first job; nil while it has not answered.
  func trialFinding(_ id: UInt64) throws -> ScanVerdict.Finding? {
    guard let answer = try channel.receive(waitingMilliseconds: 0, takingDescriptor: false) else { return nil }
    switch try WorkerReport(decoding: answer.packet) {
    case .verdict(id, let finding, _): return finding
    case .failed(id, let why): throw ScanFailure("the engine failed: \(why)")
    case .verdict, .failed: throw ScanFailure("it answered a question that was not asked")
    }
  }

  /// Ends the traffic: whoever waits for its answer is told that it is broken, and the worker ends.
  func shutDown() { channel.shutDown() }
}
