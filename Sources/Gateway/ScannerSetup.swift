import Configuration
import Journey
import ScanWire
import Scanning

extension ScannerPlan {
  /// The scanner as a configuration has it; nil where nothing is scanned.
  public init?(_ configuration: GatewayConfiguration) {
    guard let scanner = configuration.scanner else { return nil }
    let limits = scanner.limits
    // What the incoming point takes at the most, with the line that goes before it: an envelope is larger than the message in it.
    let largest = configuration.limits.message.maximumBytes + GatewayParts.envelopeRoomBytes + 65_536
    self.init(
      executable: scanner.executablePath,
      settings: ScannerSettings(
        database: scanner.database, temporary: scanner.temporaryFolder(dataDirectory: configuration.dataDirectory), user: scanner.user,
        options: ScanOptions(
          maximumScanBytes: max(limits.maximumScanBytes, largest), maximumFileBytes: max(limits.maximumFileBytes, largest),
          maximumRecursion: limits.depth,
          maximumFiles: limits.files, scanSeconds: limits.scanSeconds),
        workerMemoryBytes: limits.workerMemoryBytes),
      workers: scanner.workers,
      // libclamav keeps to its own limit by and large; whoever does not is put an end to.
      answerSeconds: limits.scanSeconds + max(5, limits.scanSeconds / 4), cachedVerdicts: limits.cachedVerdicts,
      databaseCheckSeconds: limits.databaseCheckSeconds)
  }
}

extension SecurityPolicy {
  /// The policy that a configuration chooses.
  init(_ configuration: ScannerConfiguration?) {
    self.init()
    guard let configuration else { return }
    encrypted =
      switch configuration.encrypted {
      case .accept: .accept
      case .refuse: .refuse
      }
    beyondLimits =
      switch configuration.beyondLimits {
      case .accept: .accept
      case .refuse: .refuse
      }
    infectedOrdinary =
      switch configuration.infectedOrdinaryMail {
      case .refuse: .refuse
      case .discard: .discard
      }
  }
}
