import Configuration
import Extracts
import Foundation
import Gateway
import Journey
import Ledger
import PEC
import Sealing
import Signing

/// `ceralacca log extract`: a bundle for a holder or a judge (`pec-rules` 9.5).
public enum ExtractCommand {
  /// For whom an extract is made.
  public enum Reader: Sendable {
    /// A holder: the rows of his own messages and no others.
    case holder(String)
    /// A judge, by this order: all the rows that were asked for.
    case judge(order: String)
  }

  /// Makes an extract of the rows that a search finds, into a zip archive or a folder that was not there before.
  ///
  /// Rows that are not sealed yet are sealed by the running gateway first. The running gateway also writes into the log that an extract was
  /// made; when none runs the extract is made all the same, and `remark` is told.
  /// - Parameters:
  ///   - path: ends in `.zip` for an archive, else it is a folder.
  ///   - remark: takes warnings, a line each.
  /// - Throws: `CommandFailure` with code 66 when nothing is found, 69 when rows wait for a seal and no gateway runs.
  public static func run(
    _ words: LogSearchWords, for reader: Reader, to path: String, configurationFile: String, say: (String) -> Void,
    remark: (String) -> Void
  ) throws {
    let configuration = try Service.load(configurationFile)
    let ledger = try QueueCommands.ledger(configurationFile)
    let (rows, withheld) = try rows(words, for: reader, in: ledger)
    guard !rows.isEmpty else { throw CommandFailure("nothing in the log fits", exitCode: CommandFailure.noInput) }
    guard !FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("\(path) is there already", exitCode: CommandFailure.cannotCreate)
    }
    do {
      let maker = try maker(configuration, ledger)
      if try maker.unsealed(rows) != nil {
        _ = try ControlClient.ask(ControlRequest(verb: "seal"), of: configuration.dataDirectory, withinSeconds: 300)
        // A reader of its own sees what was committed since.
        if let row = try maker.unsealed(rows) {
          throw CommandFailure("row \(row) is not sealed: look at `ceralacca seal list`", exitCode: CommandFailure.tryAgain)
        }
      }
      let files = try maker.files(order(words, rows, withheld, reader), at: Clock.now())
      if path.hasSuffix(".zip") { try ExtractMaker.write(files, archive: path) } else { try ExtractMaker.write(files, folder: path) }
      say("\(path): \(rows.count) rows" + (withheld == 0 ? "" : "; \(withheld) more name third persons and were left out"))
    } catch let error as SealingError { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
    let note = "\(rows.count) rows for \(name(reader))"
    record(note, of: configuration.dataDirectory, remark: remark)
  }

  /// Has the running gateway write into the log that an extract was made.
  static func record(_ note: String, of dataDirectory: String, remark: (String) -> Void) {
    let reason: String
    do {
      let answer = try ControlClient.ask(ControlRequest(verb: "extract-made", text: note), of: dataDirectory)
      if answer.ok { return }
      reason = answer.message
    } catch { reason = (error as? CommandFailure)?.message ?? "\(error)" }
    remark("warning: the extract is good, but the log does not say that it was made: only the running gateway can write that. \(reason)")
  }

  private static func name(_ reader: Reader) -> String {
    switch reader {
    case .holder(let address): address
    case .judge(let order): "a judge (\(order))"
    }
  }

  /// The rows that the search finds and those of their messages, as far as they may be shown.
  private static func rows(
    _ words: LogSearchWords, for reader: Reader, in ledger: LedgerReader
  ) throws -> (rows: [EventRecord], withheld: Int) {
    var query = try words.query()
    query.limit = 1000
    if case .holder(let address) = reader, query.party == nil { query.party = address }
    var found: [EventRecord] = []
    do {
      while true {
        let page = try ledger.search(query)
        found += page.rows
        guard found.count <= ExtractBundle.maximumRows else {
          throw CommandFailure(
            "more than \(ExtractBundle.maximumRows) rows fit: ask for fewer days", exitCode: CommandFailure.usage)
        }
        guard let next = page.next else { break }
        query.cursor = next
      }
      return try chosen(found, for: reader) { try ledger.events(pecID: $0) }
    } catch let error as LedgerError { throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput) }
  }

  /// What is given away of the rows that a search found.
  /// - Parameter message: all rows of a message. It is told whole: what became of it may stand on another day.
  static func chosen(
    _ found: [EventRecord], for reader: Reader, message: (String) throws -> [EventRecord]
  ) rethrows -> (rows: [EventRecord], withheld: Int) {
    var rows: [EventRecord] = []
    var seen: Set<String> = []
    for row in found {
      if row.pecID.isEmpty {
        // About the log itself, and no holder's: a judge may want to know when the clock was not to be trusted, or what was removed.
        if case .judge = reader { rows.append(row) }
      } else if seen.insert(row.pecID).inserted {
        rows += try message(row.pecID)
      }
    }
    rows.sort { ($0.number ?? 0) < ($1.number ?? 0) }
    switch reader {
    case .judge: return (rows, 0)
    case .holder(let address):
      let selection = ExtractFilter.select(rows, for: address)
      return (selection.rows, selection.withheld)
    }
  }

  private static func maker(_ configuration: GatewayConfiguration, _ ledger: LedgerReader) throws -> ExtractMaker {
    do {
      let credentials = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate,
        serviceAddress: configuration.provider.serviceAddress, now: Clock.now().unixSeconds)
      return ExtractMaker(
        ledger: ledger, store: SealStore(path: Gateway.sealsPath(configuration.dataDirectory)), credentials: credentials,
        provider: configuration.provider.name, keep: { kept(configuration) })
    } catch { throw CommandFailure("signer: \(error)", exitCode: CommandFailure.noInput) }
  }

  /// The revocation lists at hand: the files that the configuration names, and the gateway's copies of those that it fetches.
  private static func kept(_ configuration: GatewayConfiguration) -> KeptFiles {
    let copies = "\(configuration.dataDirectory)/revocation"
    let fetched = ((try? FileManager.default.contentsOfDirectory(atPath: copies)) ?? []).sorted().map { "\(copies)/\($0)" }
    let files = configuration.trust.revocationLists.filter { !TrustSettings.isAddress($0) }
    let lists = (files + fetched).enumerated().compactMap { place, path in
      FileManager.default.contents(atPath: path).map { (name: "\(place + 1).crl", octets: [UInt8]($0)) }
    }
    return KeptFiles(revocationLists: lists)
  }

  private static func order(_ words: LogSearchWords, _ rows: [EventRecord], _ withheld: Int, _ reader: Reader) -> ExtractMaker.Order {
    let asked: [(String, String?)] = [
      ("Mittente", words.sender), ("Destinatario", words.recipient), ("Indirizzo", words.address),
      ("Data", words.day ?? [words.from.map { "dal \($0)" }, words.to.map { "al \($0)" }].compactMap { $0 }.joined(separator: " ")),
      ("Oggetto", words.subject.isEmpty ? nil : words.subject.joined(separator: " ")), ("Identificativo", words.id ?? words.messageID),
    ]
    let question = asked.compactMap { name, value in value.flatMap { $0.isEmpty ? nil : (name: name, value: $0) } }
    switch reader {
    case .holder(let address):
      return ExtractMaker.Order(
        holder: address, reason: "su richiesta del titolare", question: question, rows: rows, withheld: withheld)
    case .judge(let order):
      return ExtractMaker.Order(holder: "Autorità giudiziaria", reason: order, question: question, rows: rows)
    }
  }
}
