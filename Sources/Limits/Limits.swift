/// Every bound of the gateway, in one place (house rule 4). At a limit there is back-pressure or a 4xx, never growth.
///
/// Octets, seconds and counts; the unit comes last in the name. The configuration may change what its keys name; the rest is fixed.
public struct Limits: Sendable, Equatable {
  public var connection = ConnectionLimits()
  public var command = CommandLimits()
  public var message = MessageLimits()
  public var delivery = DeliveryLimits()
  public var deadlines = DeadlineLimits()
  public var authentication = AuthenticationLimits()
  public var storage = StorageLimits()
  public var fetch = FetchLimits()
  public var rates = RateLimits()
  public var exchange = ExchangeLimits()
  public var quota = QuotaLimits()
  public var search = MailboxSearchLimits()

  /// The defaults.
  public init() {}

  /// Memory that full connections may hold together, in octets: what an operator must have free.
  public var intakeMemoryBytes: Int {
    connection.maximumConnections * connection.idleConnectionBytes + storage.intakeMemoryBytes
  }
}

/// Bounds of connections, for each lane unless said otherwise.
public struct ConnectionLimits: Sendable, Equatable {
  /// Connections open at once in the whole process; above it a new one is answered 421 and closed.
  public var maximumConnections = 20_000
  /// Connections from one address at once; above it 421.
  public var maximumConnectionsPerPeer = 50
  /// What an idle connection may cost, buffers included (measured by a test).
  public let idleConnectionBytes = 64 * 1024
  /// Octets read from a socket at once; one slab for a whole lane.
  public let readSlabBytes = 256 * 1024
  /// Octets waiting to be written to one peer above which reading from it stops.
  public let writeHighWaterBytes = 256 * 1024
  /// Silence while a command is awaited (RFC 5321 §4.5.3.2.7: at least 5 minutes).
  public var commandTimeoutSeconds = 300
  /// Silence while a body is awaited (RFC 5321 §4.5.3.2.5).
  public var bodyTimeoutSeconds = 180
  /// The slowest body that is put up with, in octets a second, measured over `slowBodyGraceSeconds`.
  public var slowestBodyBytesPerSecond = 256
  /// How long a body may be slow before it is given up.
  public var slowBodyGraceSeconds = 60
  /// What a proxy says about its client (PROXY protocol, version 2), with all its fields.
  public let proxyHeaderBytes = 4096
  /// A TLS handshake must be through by then, and so must a proxy's header.
  public var handshakeTimeoutSeconds = 60
  /// An SMTP session may last this long at the most.
  public var sessionSeconds = 4 * 3600
  public init() {}
}

/// Bounds of SMTP commands.
public struct CommandLimits: Sendable, Equatable {
  /// A command line with its CRLF (RFC 5321 §4.5.3.1.4 asks for 512; ESMTP parameters need more).
  public let commandLineBytes = 2048
  /// A line of an AUTH exchange (RFC 4954 §4).
  public let authLineBytes = 12_288
  /// A mail address in a path (RFC 5321 §4.5.3.1.3: 256 with its brackets).
  public let pathBytes = 256
  /// The local part of an address (RFC 5321 §4.5.3.1.1).
  public let localPartBytes = 64
  /// A domain (RFC 5321 §4.5.3.1.2).
  public let domainBytes = 255
  /// Recipients of one transaction; above it 452 (RFC 5321 §4.5.3.1.10).
  public var maximumRecipients = 1000
  /// Faulty commands after which the session ends with 421.
  public var maximumFaults = 20
  /// Failed AUTH attempts after which the session ends with 421.
  public var maximumAuthFailures = 3
  /// Messages in one session; above it 421.
  public var maximumMessagesPerSession = 1000
  public init() {}
}

/// Bounds of one message.
public struct MessageLimits: Sendable, Equatable {
  /// SIZE that is announced, and the octets above which DATA is answered 552 (hard limit).
  public var maximumBytes = 100 * 1024 * 1024
  /// F8: size within the provider's own limit, answered with a notice. At the most `maximumBytes`.
  public var formalBytes = 70 * 1024 * 1024
  /// F7: size × recipients (DM 2-11-2005 art. 12: at least 30 MB must be allowed); nil for no limit. A header's length on top: it is
  /// not settled whether the size that the law means has it in, and a message of 30 MB must pass either way.
  public var maximumBytesTimesRecipients: Int? = 30 * 1024 * 1024 + 256 * 1024
  /// The header, in octets.
  public let headerBytes = 256 * 1024
  /// Header fields.
  public let headerFields = 2000
  /// A line without its CRLF (RFC 5322 §2.1.1).
  public let lineBytes = 998
  /// MIME nesting.
  public let depth = 50
  /// MIME parts.
  public let parts = 5000
  /// Addresses in To and Cc together.
  public let addresses = 5000
  public init() {}
}

/// Bounds of delivery.
public struct DeliveryLimits: Sendable, Equatable {
  /// Recipients in one outgoing transaction (RFC 5321 §4.5.3.1.8: a server takes at least 100).
  public var recipientsPerTransaction = 100
  /// Connections to one next hop at once.
  public var connectionsPerDestination = 8
  /// An idle connection to a next hop is kept this long for the next message.
  public var idleConnectionSeconds = 15
  /// Silence of a next hop after which the attempt is given up and retried later.
  public var replyTimeoutSeconds = 300
  /// A connection that does not come about by then is a failed attempt.
  public var connectTimeoutSeconds = 30
  /// Waits between attempts: the first, doubled each time up to the last.
  public var firstRetrySeconds = 60
  public var lastRetrySeconds = 1800
  /// Whether a mailbox has a message whose hand-over was cut off is asked after so long: what its server still does is done by then.
  public var uncertainSeconds = 30
  /// Hand-overs in doubt that are remembered one by one; above it every older message of the queue counts as one.
  public let uncertainEntries = 100_000
  /// Queue entries in memory at once, for the whole process; the others wait in the ledger until there is room.
  public var activeEntries = 10_000
  /// Holds of the queue, those that have ended but are remembered too; above it a new one is refused.
  public let queueHolds = 10_000
  /// An envelope that nobody took for this long is given up (RFC 6109 §2.2.2: 24 hours).
  public var giveUpSeconds = 24 * 3600
  public init() {}
}

/// Bounds of what is stored and kept in memory.
public struct StorageLimits: Sendable, Equatable {
  /// A spool segment, in octets.
  public var segmentBytes = 64 * 1024 * 1024
  /// A body is handed to the spool in pieces of this size while it arrives; up to three are in memory.
  public let bodyPieceBytes = 256 * 1024
  /// Octets of bodies that are in memory and not yet in the spool, for the whole process; above it reading stops.
  public var intakeMemoryBytes = 256 * 1024 * 1024
  /// A submission that a trusted peer hands over again is known for so long: longer than Postfix keeps a message in its queue (5 days).
  public let repeatSeconds = 6 * 24 * 3600
  /// What is too old for that is forgotten in steps of so many.
  public let repeatsForgottenAtOnce = 1000
  /// Free octets on the spool's disk below which MAIL is answered 452.
  public var minimumFreeBytes = 512 * 1024 * 1024
  /// Digests in one signing batch.
  public let signingBatch = 8
  public init() {}
}

/// Bounds of what is fetched from others: provider indexes and revocation lists.
public struct FetchLimits: Sendable, Equatable {
  /// A provider index, in octets.
  public let indexBytes = 64 * 1024 * 1024
  /// A revocation list (CRL), in octets; those of large authorities have some millions.
  public let revocationListBytes = 64 * 1024 * 1024
  /// Entries that an LDAP server may give.
  public let directoryEntries = 100_000
  /// An index must be through by then: a large one over a slow line.
  public let indexTimeoutSeconds = 120
  /// A revocation list must be through by then.
  public let revocationListTimeoutSeconds = 60
  public init() {}
}

/// Bounds of a virus scan; reaching one is a verdict of its own, never "clean". They belong to the configuration's scanner.
public struct ScanLimits: Sendable, Equatable {
  /// Octets looked at for one message, with all that is unpacked from it.
  public var maximumScanBytes = 400 * 1024 * 1024
  /// Octets of the message, and of each file in it.
  public var maximumFileBytes = 150 * 1024 * 1024
  /// Archives and messages in one another.
  public var depth = 30
  /// Files in one message.
  public var files = 20_000
  /// Seconds that a message may take.
  public var scanSeconds = 120
  /// Octets that a worker may use beside the engine and its signatures.
  public var workerMemoryBytes = 1024 * 1024 * 1024
  /// Seconds between two looks for new signatures.
  public var databaseCheckSeconds = 60
  /// Verdicts kept for content that comes again.
  public var cachedVerdicts = 10_000
  public init() {}
}
