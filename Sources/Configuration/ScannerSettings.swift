public import Limits

/// The virus scanner (RFC 6109 §2.2.1, §2.2.2): what it knows, what it may use, and what becomes of what it cannot vouch for.
public struct ScannerConfiguration: Sendable, Equatable {
  /// Folder of signature databases, as freshclam fills it, or one database file.
  public var database: String
  /// Processes that scan, each one message at a time.
  public var workers: Int
  /// Who they become when the gateway is started as root; otherwise they stay who they are.
  public var user: String
  /// Folder for what archives hold while they are looked into, in memory at best; nil: see `temporaryFolder(dataDirectory:)`.
  public var temporary: String?
  /// Path of `ceralacca-scanner`; nil: beside the running executable, see `executablePath`.
  public var executable: String?
  /// Archives and documents that only a password opens.
  public var encrypted: EncryptedTreatment
  /// Messages that a bound keeps from being scanned to the end.
  public var beyondLimits: BeyondLimitsTreatment
  /// Infected mail from outside the certified channel.
  public var infectedOrdinaryMail: InfectedOrdinaryTreatment
  /// How submissions and incoming mail are put off while there is no scanner.
  public var whenDown: ScannerOutage
  /// The bounds, those that the file does not name at their defaults.
  public var limits: ScanLimits

  /// The default: one for each processor.
  public static var usualWorkers: Int { min(64, GatewayConfiguration.processors) }

  /// A scanner of this database, all else as it is where the file says nothing.
  public init(
    database: String, workers: Int = ScannerConfiguration.usualWorkers, user: String = "nobody", temporary: String? = nil,
    executable: String? = nil, encrypted: EncryptedTreatment = .accept, beyondLimits: BeyondLimitsTreatment = .refuse,
    infectedOrdinaryMail: InfectedOrdinaryTreatment = .refuse, whenDown: ScannerOutage = ScannerOutage(), limits: ScanLimits = ScanLimits()
  ) {
    self.database = database
    self.workers = workers
    self.user = user
    self.temporary = temporary
    self.executable = executable
    self.encrypted = encrypted
    self.beyondLimits = beyondLimits
    self.infectedOrdinaryMail = infectedOrdinaryMail
    self.whenDown = whenDown
    self.limits = limits
  }
}

/// What becomes of a message with something encrypted in it, which no scanner can look into.
public enum EncryptedTreatment: String, Sendable, CaseIterable {
  /// Passed on; the log says so.
  case accept
  /// Treated as infected.
  case refuse
}

/// What becomes of a message that is too large, too deep, too many or too slow to be scanned to its end.
public enum BeyondLimitsTreatment: String, Sendable, CaseIterable {
  /// Treated as infected.
  case refuse
  /// Passed on, though a part of it was never looked at; the log says so.
  case accept
}

/// What becomes of infected mail from outside the certified channel: nobody gets a notice about it (RFC 6109 §2.2.3).
public enum InfectedOrdinaryTreatment: String, Sendable, CaseIterable {
  /// Refused in SMTP.
  case refuse
  /// Taken, kept in the quarantine and dropped.
  case discard
}

/// How mail is put off while there is no scanner. It is never passed on unscanned.
public struct ScannerOutage: Sendable, Equatable {
  /// When a client hears of it.
  public enum Answer: String, Sendable, CaseIterable {
    /// 451 after each message.
    case message
    /// 421 as soon as it connects.
    case connection
  }

  /// For listeners of the kinds submission, submissions and trusted.
  public var submission: Answer
  /// For listeners of kind incoming.
  public var incoming: Answer

  /// After each message unless said otherwise: a short outage may be over by then.
  public init(submission: Answer = .message, incoming: Answer = .message) {
    self.submission = submission
    self.incoming = incoming
  }
}
