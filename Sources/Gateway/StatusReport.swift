/// How a gateway is doing at one moment: what `status` and `top` show, what alarms are judged by, and what metrics are made of.
///
/// Times are Unix seconds, sizes octets. A section that does not apply is nil.
public struct StatusReport: Codable, Sendable, Equatable {
  /// Where mail comes in.
  public struct Listener: Codable, Sendable, Equatable {
    /// submission, submissions, trusted or incoming.
    public var kind: String
    /// `address:port`, with the port the system gave.
    public var address: String
  }

  /// SMTP sessions, and those that did not become one.
  public struct Sessions: Codable, Sendable, Equatable {
    public var open: Int
    public var maximum: Int
    /// By kind of listener.
    public var connections: [String: Int]
    /// By SMTP code.
    public var refusedConnections: [String: Int]
    /// How often somebody was refused for a bound, by its key among the configuration's `limits`.
    public var bounds: [String: Int]
    public var authenticated: Int
    public var authenticationsRejected: Int
  }

  /// What came to one of the points.
  public struct Intake: Codable, Sendable, Equatable {
    /// access or incoming.
    public var point: String
    public var accepted: Int
    /// Taken, and answered with a notice of non-acceptance.
    public var notAccepted: Int
    /// Answered 5xx.
    public var refused: Int
    /// Answered 4xx.
    public var deferred: Int
    public var bytes: Int
    public var recipients: Int
    /// Half of the messages, and 99 % of them, had their reply within so many seconds of their last octet: bounds of a histogram. Nil
    /// before the first, and above the last bound.
    public var replySecondsHalf: Double?
    public var replySeconds99: Double?
  }

  /// What was heard about recipients on one way out.
  public struct Way: Codable, Sendable, Equatable {
    public var route: String
    public var sent: Int
    public var deferred: Int
    public var bounced: Int
  }

  /// What waits for delivery, or is under way.
  public struct Queue: Codable, Sendable, Equatable {
    /// What waits for one way out.
    public struct Part: Codable, Sendable, Equatable {
      public var route: String
      public var entries: Int
      public var recipients: Int
      /// Recipients of whom the mailbox server's report is awaited.
      public var awaiting: Int
      public var oldestAt: Int64
      /// Messages that wait because an operator holds them.
      public var held: Int
    }
    public var routes: [Part]
    /// When the oldest hold in force began; nil while nothing is held.
    public var heldSince: Int64?
    public var held: Int { routes.reduce(0) { $0 + $1.held } }
    public var entries: Int { routes.reduce(0) { $0 + $1.entries } }
    public var recipients: Int { routes.reduce(0) { $0 + $1.recipients } }
    public var oldestAt: Int64? { routes.map(\.oldestAt).min() }
  }

  /// What signs, and what it did.
  public struct Signer: Codable, Sendable, Equatable {
    /// What signs, in words.
    public var backend: String
    public var subject: String
    public var notAfter: Int64
    public var threads: Int
    public var signatures: Int
    public var failures: Int
    /// Signatures that did not verify: anything but nought is a reason to stop and look.
    public var faulty: Int
    public var batches: Int
    public var waiting: Int
    /// Seconds that threads were at work, all together.
    public var busySeconds: Double
  }

  /// A certificate that this gateway shows or rests on, and its validity.
  public struct Certificate: Codable, Sendable, Equatable {
    /// What for.
    public enum Use: String, Codable, Sendable {
      /// Signs receipts, notices and envelopes.
      case signer
      /// Is shown to clients.
      case tls
      /// Signs the time stamps of the log's seals, as the newest has it.
      case stamp
    }
    public var use: Use
    /// The first name that it is made out to; a subject where it has none.
    public var name: String
    /// Kind of its key, `RSA` or `EC`.
    public var key: String
    /// The file that it came from; nil where it came from elsewhere.
    public var file: String?
    public var notBefore: Int64
    public var notAfter: Int64
  }

  /// The virus scanner.
  public struct Scanner: Codable, Sendable, Equatable {
    public var isUp: Bool
    /// Why not.
    public var reason: String
    public var workers: Int
    public var workersWanted: Int
    public var waiting: Int
    public var scanned: Int
    public var infected: Int
    public var retried: Int
    public var faults: Int
    public var cacheHits: Int
    public var engine: String
    public var database: String
    /// When the newest signature file was written.
    public var databaseAt: Int64?
  }

  /// The machine's clock.
  public struct ClockState: Codable, Sendable, Equatable {
    public var isTrusted: Bool
    /// Why not; nil while it is.
    public var reason: String?
    public var isSynchronized: Bool
    public var offsetSeconds: Double
    /// How far from UTC it may be by all that is known.
    public var boundSeconds: Double?
  }

  /// The provider index, and the revocation lists.
  public struct Index: Codable, Sendable, Equatable {
    public var records: Int
    public var domains: Int
    /// When it was last known to be its publisher's.
    public var confirmedAt: Int64?
    /// True where it is fetched, and not a file that somebody else looks after.
    public var isFetched: Bool
    public var revocationLists: Int
    public var revocationListsOutdated: Int
    public var revocationListOldestAt: Int64?
  }

  /// Spool, ledger, quarantine and the disk under them.
  public struct Storage: Codable, Sendable, Equatable {
    /// Why nothing is stored any more; nil while all is well.
    public var brokenBecause: String?
    /// For how many seconds the ledger has refused every commit; 0 while it takes them.
    public var refusingSeconds: Double
    public var freeBytes: Int
    public var minimumFreeBytes: Int
    public var liveBytes: Int
    public var fileBytes: Int
    public var segments: Int
    public var spareSegments: Int
    public var intakeBytes: Int
    public var intakeLimitBytes: Int
    public var commits: Int
    public var commitFailures: Int
    public var quarantined: Int
  }

  /// Deadlines after which silence must speak (RFC 6109 §3.1.6).
  public struct Deadlines: Codable, Sendable, Equatable {
    public var pending: Int
    public var nextAt: Int64?
  }

  /// What a restored backup brought back, and waits for an operator's decision.
  public struct Restored: Codable, Sendable, Equatable {
    /// Messages of the queue that are held.
    public var held: Int
    /// Messages whose notices of silence (RFC 6109 §3.1.6) are not made.
    public var notices: Int
    /// Of when the backup is, in words.
    public var reason: String
  }

  /// The certified log and its seals.
  public struct CertifiedLog: Codable, Sendable, Equatable {
    public var rows: Int
    public var unsealedRows: Int
    public var lastSealAt: Int64?
    public var seals: Int
    /// Seals without a time stamp; nil where no authority is configured.
    public var unstampedSeals: Int?
  }

  /// Something that a person should look at. The name is its anchor in the runbook.
  public struct Alarm: Codable, Sendable, Equatable {
    /// Whether it may wait until the morning.
    public enum Severity: String, Codable, Sendable { case warning, critical }
    public var name: String
    public var severity: Severity
    public var words: String
    /// True when no mail is taken because of it.
    public var stopsMail: Bool

    /// An alarm of these fields.
    public init(name: String, severity: Severity, words: String, stopsMail: Bool) {
      (self.name, self.severity, self.words, self.stopsMail) = (name, severity, words, stopsMail)
    }
  }

  public var version: String
  public var hostname: String
  public var provider: String
  public var process: Int
  public var startedAt: Int64
  /// When this was seen.
  public var at: Int64
  /// Seconds since ledger, spool and files were looked at last.
  public var lookAgeSeconds: Double
  public var listeners: [Listener]
  /// `address:port` of metrics and health; nil where they are not told.
  public var metricsAddress: String?
  public var isDraining: Bool
  public var sessions: Sessions
  public var intake: [Intake]
  /// Messages put into the queue, by kind.
  public var queued: [String: Int]
  public var deliveries: [Way]
  public var queue: Queue
  public var signer: Signer
  public var certificates: [Certificate]
  public var scanner: Scanner?
  public var clock: ClockState
  public var index: Index
  public var storage: Storage
  public var deadlines: Deadlines
  public var log: CertifiedLog
  /// Nil while nothing waits that was restored.
  public var restored: Restored?
  /// Seconds since each lane has looked at its clock.
  public var laneSilenceSeconds: [Double]
  /// For how long the service that is asked whether mailboxes have room has not answered; 0 while it does.
  public var quotaSilenceSeconds = 0.0
  public var memoryBytes: Int
  public var processorSeconds: Double
  public var openDescriptors: Int
  public var alarms: [Alarm]
}
