import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import PEC
import Sealing
import Signing
import TimeStamping

/// `ceralacca seal` and `ceralacca log verify`: the seals of the certified log, and the proof that nothing in it was changed.
public enum SealCommands {
  /// A seal, for machines.
  private struct Row: Encodable {
    var seal: Int64
    var first: Int64
    var last: Int64
    var rows: Int64
    var madeAt: String
    var stampedAt: String?
    var authority: String?
    var root: String
    var digest: String
    var folder: String

    init(_ seal: SealRecord, _ store: SealStore) {
      self.seal = seal.number
      first = seal.first
      last = seal.last
      rows = seal.last - seal.first + 1
      madeAt = seal.madeAt.rfc3339
      stampedAt = seal.stampedAt.map(QueueCommands.time)
      authority = seal.authority
      root = seal.root
      digest = seal.digest
      folder = store.folder(seal.number)
    }
  }

  /// What an inspection found, for machines.
  private struct Report: Encodable {
    var holds: Bool
    var seals: Int
    var rows: Int64
    var faults: [String]
    var remarks: [String]

    init(_ inspection: SealInspection) {
      holds = inspection.isWhole
      seals = inspection.seals
      rows = inspection.rows
      faults = inspection.faults.map(\.description)
      remarks = inspection.remarks
    }
  }

  /// Has the running gateway seal what waits, and ask for its time stamp.
  public static func now(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let directory = try Service.load(configurationFile).dataDirectory
    try ControlClient.tell(ControlRequest(verb: "seal"), of: directory, json: json, refusal: CommandFailure.tryAgain, say)
  }

  /// Lists the seals, oldest first.
  public static func list(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let configuration = try Service.load(configurationFile)
    let store = SealStore(path: Gateway.sealsPath(configuration.dataDirectory))
    let ledger = try QueueCommands.ledger(configurationFile)
    do {
      let seals = try ledger.seals()
      if json {
        for seal in seals { say(try Output.json(Row(seal, store))) }
        return
      }
      for seal in seals {
        let stamp = seal.stampedAt.map { "stamped \(QueueCommands.time($0)) by \(seal.authority ?? "")" } ?? "WITHOUT a time stamp"
        say("seal \(seal.number)  rows \(seal.first)-\(seal.last)  made \(seal.madeAt.rfc3339)  \(stamp)")
      }
      let last = try ledger.lastEventNumber()
      say("\(seals.count) seals in \(store.path); \(last - (seals.last?.last ?? 0)) rows wait for the next")
    } catch let error as LedgerError { throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput) }
  }

  /// Verifies one seal, or all of them: files, signatures, time stamps, chain, and the ledger's rows.
  /// - Throws: `CommandFailure` with code 65 when anything is not as it was.
  public static func verify(seal: Int64?, configurationFile: String, json: Bool, say: (String) -> Void, remark: @escaping (String) -> Void)
    throws
  {
    let inspector = try inspector(configurationFile)
    let found: SealInspection
    do { found = try inspector.verifySeals(seal.map { $0...$0 }, at: Clock.now().unixSeconds) { remark("seal \($0) …") } } catch {
      throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput)
    }
    try tell(found, json: json, say: say)
  }

  /// Verifies every row of the ledger against the chain and the seals.
  /// - Throws: as `verify`.
  public static func verifyLog(configurationFile: String, json: Bool, say: (String) -> Void, remark: @escaping (String) -> Void) throws {
    let inspector = try inspector(configurationFile)
    let found: SealInspection
    do { found = try inspector.verifyLog { remark("from row \($0) …") } } catch {
      throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput)
    }
    try tell(found, json: json, say: say)
  }

  private static func inspector(_ configurationFile: String) throws -> SealInspector {
    let configuration = try Service.load(configurationFile)
    let ledger = try QueueCommands.ledger(configurationFile)
    let files = Set(configuration.certifiedLog.timeStamps.authorities.map(\.caFile)).sorted()
    do {
      let signer = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate,
        serviceAddress: configuration.provider.serviceAddress, now: Clock.now().unixSeconds)
      let authorities = configuration.trust.authorities
      return SealInspector(
        store: SealStore(path: Gateway.sealsPath(configuration.dataDirectory)), ledger: ledger, signers: [signer.certificate.der],
        anchors: authorities.isEmpty ? nil : try TrustAnchors(paths: authorities),
        stampAuthorities: files.isEmpty ? nil : try TimeStampAuthorities(paths: files))
    } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.noInput) }
  }

  private static func tell(_ found: SealInspection, json: Bool, say: (String) -> Void) throws {
    if json {
      say(try Output.json(Report(found)))
    } else {
      for line in found.remarks { say("remark  \(line)") }
      for fault in found.faults { say("FAULT   \(fault)") }
      if found.faultCount > found.faults.count { say("FAULT   and \(found.faultCount - found.faults.count) more") }
      let seen = "\(found.rows) rows and \(found.seals) seals were looked at"
      say(found.isWhole ? "\(seen): all of it is as it was written." : "\(seen): \(found.faultCount) faults.")
    }
    if !found.isWhole { throw CommandFailure("", exitCode: CommandFailure.dataError) }
  }

  // MARK: Holds

  /// A hold, for machines.
  private struct HoldRow: Encodable {
    var hold: String
    var from: String
    var to: String
    var reason: String
    var since: String
  }

  /// Lists the days that are kept beyond their time.
  public static func holds(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let holds: [LogHold]
    do { holds = try QueueCommands.ledger(configurationFile).holds() } catch let error as LedgerError {
      throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput)
    }
    for hold in holds {
      if json {
        say(
          try Output.json(
            HoldRow(
              hold: hold.id, from: hold.from.text, to: hold.to.text, reason: hold.reason, since: QueueCommands.time(hold.madeAt))))
      } else {
        say("\(hold.id)  \(hold.from.text) to \(hold.to.text)  since \(QueueCommands.time(hold.madeAt))  \(hold.reason)")
      }
    }
    if holds.isEmpty, !json { say("No day is held beyond its time.") }
  }

  /// Keeps days of the log beyond their time, for a case at law.
  public static func hold(
    _ id: String, from: String, to: String, reason: String, configurationFile: String, json: Bool, say: (String) -> Void
  ) throws {
    guard let first = try LogSearchWords.day(from, of: "--from"), let last = try LogSearchWords.day(to, of: "--to"), first <= last else {
      throw CommandFailure("the last day must not come before the first", exitCode: CommandFailure.usage)
    }
    try ask(ControlRequest(verb: "hold", entry: id, text: reason, from: first.text, to: last.text), configurationFile, json, say)
  }

  /// Lifts a hold.
  public static func liftHold(_ id: String, reason: String?, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let known = try QueueCommands.ledger(configurationFile).holds().map(\.id)
    guard known.contains(id) else { throw CommandFailure("there is no hold \(id)", exitCode: CommandFailure.noInput) }
    try ask(ControlRequest(verb: "hold-lift", entry: id, text: reason), configurationFile, json, say)
  }

  static func ask(_ request: ControlRequest, _ configurationFile: String, _ json: Bool, _ say: (String) -> Void) throws {
    let directory = try Service.load(configurationFile).dataDirectory
    try ControlClient.tell(request, of: directory, json: json, refusal: CommandFailure.dataError, say)
  }
}
