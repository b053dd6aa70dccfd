/// What the gateway tells a scanner's parent process, on the control channel.
public enum ParentOrder: Sendable, Equatable {
  /// The first packet.
  case settings(ScannerSettings)
  /// Fork a worker; the worker's end of its job channel comes with the packet. `number` comes back in the report.
  case fork(number: UInt32)
  /// Kill this worker.
  case kill(pid: Int32)

  /// The packet.
  public var encoded: [UInt8] {
    switch self {
    case .settings(let settings):
      var packet = PacketWriter(.settings)
      packet.settings(settings)
      return packet.octets
    case .fork(let number):
      var packet = PacketWriter(.fork)
      packet.number(number)
      return packet.octets
    case .kill(let pid):
      var packet = PacketWriter(.kill)
      packet.number(pid)
      return packet.octets
    }
  }

  /// Reads a packet.
  public init(decoding octets: [UInt8]) throws(ScanWireError) {
    var packet = try PacketReader(octets)
    switch packet.kind {
    case .settings: self = .settings(try packet.settings())
    case .fork: self = .fork(number: try packet.number())
    case .kill: self = .kill(pid: try packet.processID())
    case .loaded, .failedToLoad, .forked, .died, .job, .verdict, .notScanned: throw .kind(packet.kind.rawValue)
    }
    try packet.end()
  }
}

/// What a scanner's parent process tells the gateway, on the control channel. Its texts are single lines without control characters.
public enum ParentReport: Sendable, Equatable {
  /// The signatures are loaded; workers can be ordered. At most `maximumWarnings` warnings travel.
  case loaded(ScanVersion, warnings: [String])
  /// The signatures cannot be loaded, or the process cannot confine itself, for this reason. The process ends.
  case failed(String)
  /// The worker that order `number` asked for runs.
  case forked(number: UInt32, pid: Int32)
  /// A worker has ended in this way: "killed by signal 11 (Segmentation fault)".
  case died(pid: Int32, how: String)

  /// More warnings than these are left out.
  public static let maximumWarnings = 12

  /// The packet.
  public var encoded: [UInt8] {
    switch self {
    case .loaded(let version, let warnings):
      var packet = PacketWriter(.loaded)
      packet.text(Wording.line(version.engine))
      packet.text(Wording.line(version.database))
      packet.number(Int64(version.signatures))
      let kept = warnings.prefix(Self.maximumWarnings)
      packet.number(UInt8(kept.count))
      for warning in kept { packet.text(Wording.line(warning)) }
      return packet.octets
    case .failed(let why):
      var packet = PacketWriter(.failedToLoad)
      packet.text(Wording.line(why))
      return packet.octets
    case .forked(let number, let pid):
      var packet = PacketWriter(.forked)
      packet.number(number)
      packet.number(pid)
      return packet.octets
    case .died(let pid, let how):
      var packet = PacketWriter(.died)
      packet.number(pid)
      packet.text(Wording.line(how))
      return packet.octets
    }
  }

  /// Reads a packet.
  public init(decoding octets: [UInt8]) throws(ScanWireError) {
    var packet = try PacketReader(octets)
    switch packet.kind {
    case .loaded:
      let engine = Wording.line(try packet.text())
      let database = Wording.line(try packet.text())
      let version = ScanVersion(engine: engine, database: database, signatures: try packet.count("number of signatures"))
      let count = Int(try packet.number(UInt8.self))
      guard count <= Self.maximumWarnings else { throw .value("number of warnings") }
      var warnings: [String] = []
      for _ in 0..<count { warnings.append(Wording.line(try packet.text())) }
      self = .loaded(version, warnings: warnings)
    case .failedToLoad: self = .failed(Wording.line(try packet.text()))
    case .forked:
      let number = try packet.number(UInt32.self)
      self = .forked(number: number, pid: try packet.processID())
    case .died:
      let pid = try packet.processID()
      self = .died(pid: pid, how: Wording.line(try packet.text()))
    case .settings, .fork, .kill, .job, .verdict, .notScanned: throw .kind(packet.kind.rawValue)
    }
    try packet.end()
  }
}

/// One message for a worker, on its job channel; the sealed memory with the octets comes with the packet.
public struct ScanJob: Sendable, Equatable {
  /// Comes back in the report.
  public var id: UInt64
  /// Octets of the memory file, all of it.
  public var bytes: UInt64
  /// Octets at its start that were laid before the message, so that the engine takes it for mail; at the most `bytes`.
  public var prefixBytes: UInt32

  /// A job.
  public init(id: UInt64, bytes: UInt64, prefixBytes: UInt32) {
    self.id = id
    self.bytes = bytes
    self.prefixBytes = prefixBytes
  }

  /// The packet.
  public var encoded: [UInt8] {
    var packet = PacketWriter(.job)
    packet.number(id)
    packet.number(bytes)
    packet.number(prefixBytes)
    return packet.octets
  }

  /// Reads a packet.
  public init(decoding octets: [UInt8]) throws(ScanWireError) {
    var packet = try PacketReader(octets)
    guard packet.kind == .job else { throw .kind(packet.kind.rawValue) }
    id = try packet.number()
    bytes = try packet.number()
    prefixBytes = try packet.number()
    guard bytes <= UInt64(Int.max), UInt64(prefixBytes) <= bytes else { throw .value("length") }
    try packet.end()
  }
}

/// What a worker answers. A worker may have been taken over by what it scanned: this is read as an enemy's packet would be.
public enum WorkerReport: Sendable, Equatable {
  /// The message was scanned, with so many views besides the whole of it.
  case verdict(id: UInt64, finding: ScanVerdict.Finding, views: UInt32)
  /// The message was not scanned, or not all of it, for this reason: never to be taken for clean.
  case failed(id: UInt64, String)

  private enum FindingCode: UInt8 {
    case clean
    case infected
    case encrypted
    case limits
  }

  /// The packet.
  public var encoded: [UInt8] {
    switch self {
    case .verdict(let id, let finding, let views):
      var packet = PacketWriter(.verdict)
      packet.number(id)
      packet.number(views)
      let code: FindingCode =
        switch finding {
        case .clean: .clean
        case .infected: .infected
        case .encrypted: .encrypted
        case .limits: .limits
        }
      packet.number(code.rawValue)
      if let name = finding.name { packet.text(Wording.name(name)) }
      return packet.octets
    case .failed(let id, let why):
      var packet = PacketWriter(.notScanned)
      packet.number(id)
      packet.text(Wording.line(why))
      return packet.octets
    }
  }

  /// Reads a packet. Names are printable ASCII and never empty after, whatever they were.
  public init(decoding octets: [UInt8]) throws(ScanWireError) {
    var packet = try PacketReader(octets)
    switch packet.kind {
    case .verdict:
      let id = try packet.number(UInt64.self)
      let views = try packet.number(UInt32.self)
      self = .verdict(id: id, finding: try Self.finding(&packet), views: views)
    case .notScanned:
      let id = try packet.number(UInt64.self)
      self = .failed(id: id, Wording.line(try packet.text()))
    case .settings, .fork, .kill, .loaded, .failedToLoad, .forked, .died, .job: throw .kind(packet.kind.rawValue)
    }
    try packet.end()
  }

  private static func finding(_ packet: inout PacketReader) throws(ScanWireError) -> ScanVerdict.Finding {
    guard let code = FindingCode(rawValue: try packet.number()) else { throw .value("finding") }
    switch code {
    case .clean: return .clean
    case .infected: return .infected(Wording.name(try packet.text()))
    case .encrypted: return .encrypted(Wording.name(try packet.text()))
    case .limits: return .limits(Wording.name(try packet.text()))
    }
  }
}
