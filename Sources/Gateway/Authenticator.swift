import Accounts
import Limits
import Synchronization
import Threading

/// Checks passwords on threads of its own: a good password hash is slow on purpose, and a lane must not wait for it.
///
/// Strangers decide how many checks there are, and a name that nobody has costs as much as any other. So only so many wait, none for long,
/// and none is made for a client that has gone.
final class Authenticator: Sendable {
  /// A check under way, for who may lose interest in it.
  final class Ticket: Sendable {
    let isDropped = Atomic(false)

    /// Nobody waits for the answer any more: when its turn has not come, no password is hashed.
    func drop() { isDropped.store(true, ordering: .relaxed) }
  }

  struct Check: Sendable {
    var login: String
    var password: String
    var address: ReturnAddress
    var ticket: Ticket
    var until: ContinuousClock.Instant
  }

  /// Shared with the threads.
  private final class Line: Sendable {
    let queue = Handoff<Check>()
    let length = Atomic(0)
  }

  private let line: Line
  private let threads: [WorkerThread]
  private let limits: AuthenticationLimits
  private let maximum: Int

  /// - Parameters:
  ///   - limits: how long a check may wait, and how many may for each lane.
  ///   - count: of the threads.
  init(accounts: Accounts, _ limits: AuthenticationLimits, lanes: Int, threads count: Int) {
    let line = Line()
    self.line = line
    self.limits = limits
    maximum = limits.maximumUnderWay * lanes
    threads = (0..<count).map { number in
      WorkerThread(name: "passwords-\(number)") {
        while let checks = line.queue.take(atMost: 1) {
          for check in checks {
            line.length.subtract(1, ordering: .relaxed)
            check.address.send(Authenticator.answer(to: check, accounts))
          }
        }
      }
    }
  }

  /// What a thread says when a check's turn has come.
  static func answer(to check: Check, _ accounts: Accounts) -> Completion {
    if check.ticket.isDropped.load(ordering: .relaxed) { return .failed("the client has gone") }
    if ContinuousClock.now >= check.until { return .failed("too many passwords wait to be checked") }
    return .authentication(accounts.verify(check.login, password: check.password))
  }

  /// Whether the password is the user's: `.authentication`, or `.failed` when that could not be found out.
  func check(login: String, password: String, _ address: ReturnAddress) -> Ticket {
    let ticket = Ticket()
    guard line.length.load(ordering: .relaxed) < maximum else {
      address.send(.failed("\(maximum) passwords wait to be checked already"))
      return ticket
    }
    line.length.add(1, ordering: .relaxed)
    let until = ContinuousClock.now + .seconds(limits.answerSeconds)
    if !line.queue.send(Check(login: login, password: password, address: address, ticket: ticket, until: until)) {
      address.send(.failed("the gateway is stopping"))
    }
    return ticket
  }

  func finish() {
    line.queue.close()
    for thread in threads { thread.join() }
  }
}
