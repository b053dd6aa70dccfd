internal import Limits

/// A key of `limits:` and the bound that it sets: one table for reading, writing and the reference in README.md.
struct LimitKey: Sendable {
  /// What one of the key's unit is in the bound's own unit.
  enum Unit: Int, Sendable {
    case one = 1
    case megabytes = 1_048_576
    case hours = 3600
  }

  let name: String
  let unit: Unit
  /// What is allowed, in the key's unit.
  let range: ClosedRange<Double>
  let bound: WritableKeyPath<Limits, Int> & Sendable

  init(_ name: String, _ unit: Unit, _ range: ClosedRange<Double>, _ bound: WritableKeyPath<Limits, Int> & Sendable) {
    self.name = name
    self.unit = unit
    self.range = range
    self.bound = bound
  }

  /// F7 alone may be switched off, so it stands beside the table.
  static let sizeTimesRecipients = "sizeTimesRecipientsMegabytes"
  static let sizeTimesRecipientsRange: ClosedRange<Double> = 0.01...1_000_000

  static let all: [LimitKey] = [
    LimitKey("maximumMessageMegabytes", .megabytes, 0.01...1024, \.message.maximumBytes),
    LimitKey("formalMegabytes", .megabytes, 0.01...1024, \.message.formalBytes),
    LimitKey("maximumRecipients", .one, 1...10_000, \.command.maximumRecipients),
    LimitKey("maximumFaults", .one, 1...1000, \.command.maximumFaults),
    LimitKey("maximumAuthFailures", .one, 1...100, \.command.maximumAuthFailures),
    LimitKey("maximumMessagesPerSession", .one, 1...1_000_000, \.command.maximumMessagesPerSession),
    LimitKey("connections", .one, 1...100_000, \.connection.maximumConnections),
    LimitKey("connectionsPerPeer", .one, 1...100_000, \.connection.maximumConnectionsPerPeer),
    LimitKey("commandTimeoutSeconds", .one, 1...3600, \.connection.commandTimeoutSeconds),
    LimitKey("bodyTimeoutSeconds", .one, 1...3600, \.connection.bodyTimeoutSeconds),
    LimitKey("handshakeTimeoutSeconds", .one, 1...600, \.connection.handshakeTimeoutSeconds),
    LimitKey("slowestBodyBytesPerSecond", .one, 1...1_000_000, \.connection.slowestBodyBytesPerSecond),
    LimitKey("slowBodyGraceSeconds", .one, 1...3600, \.connection.slowBodyGraceSeconds),
    LimitKey("sessionSeconds", .one, 1...86_400, \.connection.sessionSeconds),
    LimitKey("recipientsPerTransaction", .one, 1...1000, \.delivery.recipientsPerTransaction),
    LimitKey("activeEntries", .one, 10...1_000_000, \.delivery.activeEntries),
    LimitKey("connectionsPerDestination", .one, 1...1000, \.delivery.connectionsPerDestination),
    LimitKey("idleConnectionSeconds", .one, 1...600, \.delivery.idleConnectionSeconds),
    LimitKey("replyTimeoutSeconds", .one, 1...3600, \.delivery.replyTimeoutSeconds),
    LimitKey("connectTimeoutSeconds", .one, 1...600, \.delivery.connectTimeoutSeconds),
    LimitKey("firstRetrySeconds", .one, 1...86_400, \.delivery.firstRetrySeconds),
    LimitKey("lastRetrySeconds", .one, 1...86_400, \.delivery.lastRetrySeconds),
    LimitKey("uncertainSeconds", .one, 1...3600, \.delivery.uncertainSeconds),
    LimitKey("giveUpHours", .hours, 0.001...168, \.delivery.giveUpSeconds),
    LimitKey("arrivalNoticesPerMailboxPerHour", .one, 1...100_000, \.rates.arrivalNoticesPerMailboxPerHour),
    LimitKey("segmentMegabytes", .megabytes, 1...4096, \.storage.segmentBytes),
    LimitKey("intakeMemoryMegabytes", .megabytes, 4...65_536, \.storage.intakeMemoryBytes),
    LimitKey("minimumFreeMegabytes", .megabytes, 0...1_048_576, \.storage.minimumFreeBytes),
  ]

  /// The bounds that stand in a group of their own: `pec-rules` 8.1 and 8.2 set the upper ends.
  static let deadlines = "deadlines"
  static let ofDeadlines: [LimitKey] = [
    LimitKey("firstSeconds", .one, 1...43_200, \.deadlines.firstSeconds),
    LimitKey("secondSeconds", .one, 2...86_400, \.deadlines.secondSeconds),
  ]

  /// The bounds that are none unless a number is given.
  static let rateRange: ClosedRange<Double> = 1...1_000_000
  static let ofRates: [(name: String, bound: WritableKeyPath<Limits, Int?> & Sendable)] = [
    ("messagesPerUserPerHour", \.rates.messagesPerUserPerHour), ("recipientsPerUserPerHour", \.rates.recipientsPerUserPerHour),
    ("connectionsPerPeerPerMinute", \.rates.connectionsPerPeerPerMinute),
    ("messagesPerPeerPerMinute", \.rates.messagesPerPeerPerMinute),
  ]

  /// A number as the file has it: whole where it is whole.
  static func text(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
  }

  /// The bound as the file has it.
  func text(in limits: Limits) -> String { LimitKey.text(Double(limits[keyPath: bound]) / Double(unit.rawValue)) }
}
