/// How the engine scans: its limits, and what it counts as a finding.
public struct ScanOptions: Sendable, Equatable {
  /// Octets that are looked at for one message, what is unpacked included.
  public var maximumScanBytes: Int
  /// Octets of one unpacked file; of a longer one nothing is looked at.
  public var maximumFileBytes: Int
  /// Containers within containers.
  public var maximumRecursion: Int
  /// Files within one message.
  public var maximumFiles: Int
  /// Seconds that one scan may take in the engine.
  public var scanSeconds: Int
  /// Tells of encrypted archives and documents.
  public var alertsEncrypted: Bool
  /// Takes possibly unwanted applications for threats.
  public var detectsPUA: Bool
  /// Takes suspicions by rules for threats, besides signatures.
  public var heuristics: Bool

  /// Options; the defaults are the configuration's.
  public init(
    maximumScanBytes: Int = 400 << 20, maximumFileBytes: Int = 150 << 20, maximumRecursion: Int = 30, maximumFiles: Int = 20_000,
    scanSeconds: Int = 120, alertsEncrypted: Bool = true, detectsPUA: Bool = false, heuristics: Bool = true
  ) {
    self.maximumScanBytes = maximumScanBytes
    self.maximumFileBytes = maximumFileBytes
    self.maximumRecursion = maximumRecursion
    self.maximumFiles = maximumFiles
    self.scanSeconds = scanSeconds
    self.alertsEncrypted = alertsEncrypted
    self.detectsPUA = detectsPUA
    self.heuristics = heuristics
  }

  /// The same text for the same options, another for others: part of a cached verdict's key.
  public var text: String {
    "scan=\(maximumScanBytes) file=\(maximumFileBytes) depth=\(maximumRecursion) files=\(maximumFiles) seconds=\(scanSeconds)"
      + " encrypted=\(alertsEncrypted) pua=\(detectsPUA) heuristics=\(heuristics)"
  }
}

/// What a scanner's process is told before anything else.
public struct ScannerSettings: Sendable, Equatable {
  /// The signatures: a folder or a file.
  public var database: String
  /// The folder for the engine's temporary files: made by the gateway with mode 0700 for the scanner's user; on tmpfs at best.
  public var temporary: String
  /// The user to become when started as root; nil for "nobody".
  public var user: String?
  /// How to scan.
  public var options: ScanOptions
  /// Octets that a worker may use besides the engine.
  public var workerMemoryBytes: Int

  /// Settings.
  public init(database: String, temporary: String, user: String?, options: ScanOptions, workerMemoryBytes: Int) {
    self.database = database
    self.temporary = temporary
    self.user = user
    self.options = options
    self.workerMemoryBytes = workerMemoryBytes
  }
}

extension PacketWriter {
  mutating func settings(_ settings: ScannerSettings) {
    text(settings.database)
    text(settings.temporary)
    flag(settings.user != nil)
    if let user = settings.user { text(user) }
    let options = settings.options
    let counts = [
      options.maximumScanBytes, options.maximumFileBytes, options.maximumRecursion, options.maximumFiles, options.scanSeconds,
      settings.workerMemoryBytes,
    ]
    for count in counts { number(Int64(count)) }
    for choice in [options.alertsEncrypted, options.detectsPUA, options.heuristics] { flag(choice) }
  }
}

extension PacketReader {
  mutating func settings() throws(ScanWireError) -> ScannerSettings {
    let database = try path()
    let temporary = try path()
    let user = try flag() ? try path() : nil
    var options = ScanOptions()
    options.maximumScanBytes = try count("limit")
    options.maximumFileBytes = try count("limit")
    options.maximumRecursion = try count("limit")
    options.maximumFiles = try count("limit")
    options.scanSeconds = try count("limit")
    let workerMemoryBytes = try count("limit")
    options.alertsEncrypted = try flag()
    options.detectsPUA = try flag()
    options.heuristics = try flag()
    return ScannerSettings(
      database: database, temporary: temporary, user: user, options: options, workerMemoryBytes: workerMemoryBytes)
  }

  /// A name for the system: C would read it up to its first zero.
  private mutating func path() throws(ScanWireError) -> String {
    let path = try text()
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .value("name") }
    return path
  }
}
