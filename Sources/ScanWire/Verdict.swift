/// Which engine looked, and with which signatures.
public struct ScanVersion: Sendable, Equatable {
  /// The engine's name and version: "ClamAV 1.4.6".
  public var engine: String
  /// The database: "daily 27801, main 62", or "laboratory.ndb 1a2b3c4d" for a file without a version of its own.
  public var database: String
  /// How many signatures were loaded.
  public var signatures: Int

  /// A version.
  public init(engine: String, database: String, signatures: Int) {
    self.engine = engine
    self.database = database
    self.signatures = signatures
  }

  /// One line for logs: "ClamAV 1.4.6, database laboratory.ndb 1a2b3c4d (3 signatures)".
  public var text: String { "\(engine), database \(database) (\(signatures) \(signatures == 1 ? "signature" : "signatures"))" }
}

/// What a scan found.
public struct ScanVerdict: Sendable, Equatable {
  /// What was found in a message, or in one view of it.
  public enum Finding: Sendable, Equatable {
    /// Everything was looked at, and nothing found.
    case clean
    /// A threat, by the engine's name for it: printable ASCII.
    case infected(String)
    /// Nothing was found, but something is encrypted and could not be looked into; by the engine's name for it.
    case encrypted(String)
    /// A limit was reached (size, depth, files, time): not everything was looked at. By the engine's name, or a word of our own.
    case limits(String)

    /// The name of the threat, of the kind of encryption or of the limit; nil when clean.
    public var name: String? {
      switch self {
      case .clean: nil
      case .infected(let name), .encrypted(let name), .limits(let name): name
      }
    }

    /// Of two findings about one message the one that counts: infected before limits, limits before encrypted, encrypted before clean;
    /// of two alike, this one.
    public func graver(_ other: Finding) -> Finding { other.gravity > gravity ? other : self }

    private var gravity: Int {
      switch self {
      case .clean: 0
      case .encrypted: 1
      case .limits: 2
      case .infected: 3
      }
    }
  }

  /// What was found.
  public var finding: Finding
  /// By whom.
  public var version: ScanVersion
  /// How many decoded views were scanned besides the whole message.
  public var views: Int
  /// SHA-256 of the message's content, in lower-case hexadecimal.
  public var digest: String
  /// True when the verdict was known from an earlier scan of the same content by the same version with the same options.
  public var isCached: Bool

  /// A verdict.
  public init(finding: Finding, version: ScanVersion, views: Int, digest: String, isCached: Bool) {
    self.finding = finding
    self.version = version
    self.views = views
    self.digest = digest
    self.isCached = isCached
  }
}

/// What the gateway learns of a message.
public enum ScanOutcome: Sendable, Equatable {
  /// It was scanned.
  case verdict(ScanVerdict)
  /// It could not be scanned now, for this reason; later it can.
  case unavailable(String)
  /// Scanning it failed twice: a worker died or hung over it, or the engine gave up. For this reason, by this version, with the SHA-256 of
  /// the content in lower-case hexadecimal.
  case fault(String, version: ScanVersion?, digest: String)
  /// The operator chose to have no scanner.
  case off
}
