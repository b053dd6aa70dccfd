import Accounts
import EventLoop
import Foundation
import Limits
import Testing

@testable import Gateway

/// What strangers cannot do to the checking of passwords.
@Suite struct AuthenticatorTests {
  /// The vector that the author of SHA-crypt published.
  private static let hash = "{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
  private static let login = "anna@pec.alfa.test"

  private static func accounts() throws -> Accounts {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("users-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try "\(login):\(hash)\n".write(toFile: path, atomically: true, encoding: .utf8)
    return try Accounts(path: path)
  }

  /// What becomes of checks of these passwords, in the order of the answers.
  private static func answers(
    _ passwords: [String], _ limits: AuthenticationLimits, lanes: Int, threads: Int, wanted: Int
  ) throws -> [String] {
    let authenticator = Authenticator(accounts: try accounts(), limits, lanes: lanes, threads: threads)
    let loop = try Loop()
    var heard: [String] = []
    let lane = loop.mailbox { (message: LaneMessage) in
      guard case .completed(_, let completion) = message else { return }
      heard.append(word(completion))
      if heard.count == wanted { loop.stop() }
    }
    for password in passwords { _ = authenticator.check(login: login, password: password, ReturnAddress(lane: lane, token: 1)) }
    loop.run()
    authenticator.finish()
    return heard
  }

  private static func word(_ completion: Completion) -> String {
    switch completion {
    case .authentication(let holds): holds ? "holds" : "does not hold"
    case .failed(let reason): reason
    default: "something else"
    }
  }

  @Test func aPasswordIsChecked() throws {
    let heard = try Self.answers(["Hello world!", "Hello world?"], AuthenticationLimits(), lanes: 1, threads: 1, wanted: 2)
    #expect(heard == ["holds", "does not hold"])
  }

  /// No thread takes any: what is beyond the bound hears so at once, and nobody is refused for good.
  @Test func onlySoManyWait() throws {
    var limits = AuthenticationLimits()
    limits.maximumUnderWay = 2
    let heard = try Self.answers(Array(repeating: "Hello world!", count: 5), limits, lanes: 2, threads: 0, wanted: 1)
    #expect(heard == ["4 passwords wait to be checked already"])
  }

  @Test func nobodyWaitsForLong() throws {
    var limits = AuthenticationLimits()
    limits.answerSeconds = 0
    let heard = try Self.answers(["Hello world!"], limits, lanes: 1, threads: 1, wanted: 1)
    #expect(heard == ["too many passwords wait to be checked"])
  }

  @Test func nothingIsHashedForWhoHasGone() throws {
    let loop = try Loop()
    let lane = loop.mailbox { (_: LaneMessage) in }
    let check = Authenticator.Check(
      login: Self.login, password: "Hello world!", address: ReturnAddress(lane: lane, token: 1), ticket: Authenticator.Ticket(),
      until: .now + .seconds(60))
    let accounts = try Self.accounts()
    #expect(Self.word(Authenticator.answer(to: check, accounts)) == "holds")
    check.ticket.drop()
    #expect(Self.word(Authenticator.answer(to: check, accounts)) == "the client has gone")
  }
}
