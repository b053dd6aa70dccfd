import Configuration
import EventLoop
import Testing

@testable import Gateway

@Suite("listening sockets")
struct DoorsTests {
  private func listener(_ kind: ListenerKind, _ port: Int, at address: String = "127.0.0.1") -> ListenerSettings {
    ListenerSettings(kind: kind, address: address, port: port)
  }

  private func socket() throws -> ListeningSocket { try ListeningSocket.listening(host: "127.0.0.1", port: 0, reusePort: true) }

  private func doors(_ listeners: [ListenerSettings], _ handed: [HandedSocket]) throws -> Doors {
    var configuration = GatewayConfiguration.forDoors
    configuration.listeners = listeners
    return try Doors(configuration, handed: handed, isHeldElsewhere: true)
  }

  @Test("each lane has a socket of its own, all on one port")
  func fresh() throws {
    let made = try doors([listener(.submission, 0)], [])
    let door = try #require(made.doors.first)
    #expect(door.sockets.count == 3)
    #expect(Set(door.sockets.map(\.port)).count == 1)
    #expect(!door.isHandedIn)
    #expect(made.addresses == ["127.0.0.1:\(door.sockets[0].port)"])
  }

  @Test("what is handed in is taken by its address, else by its name where that is plain; the rest is named")
  func handed() throws {
    let (first, second, third, fourth) = (try socket(), try socket(), try socket(), try socket())
    let made = try doors(
      [listener(.submission, first.port), listener(.incoming, 0), listener(.submissions, second.port)],
      [
        HandedSocket(second, name: "submission"), HandedSocket(first), HandedSocket(third, name: "incoming"),
        HandedSocket(fourth, name: "web"),
      ])
    #expect(made.doors.map { $0.sockets.map(\.port) } == [[first.port], [third.port], [second.port]])
    #expect(made.doors.map(\.isHandedIn) == [true, true, true])
    #expect(made.strangers == ["127.0.0.1:\(fourth.port) (web)"])
  }

  @Test("no socket is left without a lane, and no lane without a socket", arguments: 1...7, 1...7)
  func shares(count: Int, lanes: Int) throws {
    let door = Door(settings: listener(.incoming, 0), sockets: try (0..<count).map { _ in try socket() })
    let shares = (0..<lanes).map { door.sockets(ofLane: $0, of: lanes) }
    #expect(shares.allSatisfy { !$0.isEmpty })
    #expect(Set(shares.flatMap { $0 }.map(\.descriptor)) == Set(door.sockets.map(\.descriptor)))
  }

  @Test("a descriptor that does not listen is refused")
  func noSocket() {
    #expect(throws: LoopError.self) { try ListeningSocket(adopting: 0) }
    #expect(throws: LoopError.self) { try ListeningSocket(adopting: 9999) }
  }
}

extension GatewayConfiguration {
  /// Enough of one for listeners, on three lanes.
  static var forDoors: GatewayConfiguration {
    GatewayConfiguration(
      hostname: "mx.alfa.test",
      provider: ProviderSettings(
        name: "Alfa", serviceAddress: "posta-certificata@pec.alfa.test", node: "alfa1", domains: ["pec.alfa.test"]),
      dataDirectory: "/nowhere", index: IndexSettings(file: "/nowhere/index.ldif"),
      signer: SignerSettings(certificate: "/nowhere/signer.pem", key: "/nowhere/signer.key", threads: 1), tls: nil,
      usersFile: "/nowhere/users",
      mailboxes: .maildir(root: "/nowhere/mail"), listeners: [], routes: [], scanner: ScannerConfiguration(database: "/nowhere/db"),
      lanes: 3)
  }
}
