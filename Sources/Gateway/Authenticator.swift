import Accounts
import Threading

/// Checks passwords on threads of its own: a good password hash is slow on purpose, and a lane must not wait for it.
final class Authenticator: Sendable {
  private struct Check: Sendable {
    var login: String
    var password: String
    var address: ReturnAddress
  }

  private let queue: Handoff<Check>
  private let threads: [WorkerThread]

  init(accounts: Accounts, threads count: Int) {
    let queue = Handoff<Check>()
    self.queue = queue
    threads = (0..<count).map { number in
      WorkerThread(name: "passwords-\(number)") {
        while let checks = queue.take(atMost: 1) {
          for check in checks {
            check.address.send(.authentication(accounts.verify(check.login, password: check.password)))
          }
        }
      }
    }
  }

  func check(login: String, password: String, _ address: ReturnAddress) {
    if !queue.send(Check(login: login, password: password, address: address)) { address.send(.failed("the gateway is stopping")) }
  }

  func finish() {
    queue.close()
    for thread in threads { thread.join() }
  }
}
