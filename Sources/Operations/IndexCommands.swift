import Configuration
import Foundation
import Gateway
import Octets
import PEC
import ProviderIndex
import Signing

/// `ceralacca index`: the provider index (indice dei gestori), looked at, checked, fetched, and our own record for it.
public enum IndexCommands {
  /// A certificate of a record, for machines.
  struct CertificateRow: Encodable {
    var subject: String
    var serviceAddresses: [String]
    var sha1: String
    var notBefore: String
    var notAfter: String
    /// `valid`, `not yet valid` or `expired`, now.
    var state: String

    init(_ facts: CertificateFacts, now: Int64) {
      subject = facts.subject
      serviceAddresses = facts.mailAddresses
      sha1 = facts.sha1Fingerprint
      notBefore = QueueCommands.time(facts.notBefore)
      notAfter = QueueCommands.time(facts.notAfter)
      state = facts.notBefore > now ? "not yet valid" : facts.notAfter < now ? "expired" : "valid"
    }
  }

  /// A record, for machines.
  struct RecordRow: Encodable {
    var provider: String
    var environment: String?
    var serviceMailbox: String
    var domains: [String]
    var certificates: [CertificateRow]
    var published: String?

    init(_ record: ProviderRecord, now: Int64) {
      provider = record.providerName
      environment = record.unit
      serviceMailbox = record.mailReceipt
      domains = record.managedDomains
      certificates = record.certificates.compactMap { CertificateFacts(der: $0) }.map { CertificateRow($0, now: now) }
      published = record.ldifURL
    }
  }

  /// What an edition of the index looks like beside the one in use.
  private struct CheckReport: Encodable {
    var ok: Bool
    var signedBy: String?
    var records: Int
    var domains: Int
    var problems: [String]
    var changes: [String]
  }

  // MARK: show

  /// Shows the records of the index that a configuration names, or of a file.
  ///
  /// - Parameters:
  ///   - name: a domain, a mail address or a part of a provider's name; nil for all records.
  ///   - allDomains: every domain of a record instead of the first few.
  public static func show(
    _ name: String?, configurationFile: String?, file: String?, signers: String?, allDomains: Bool, json: Bool, say: (String) -> Void
  ) throws {
    let index = try source(configurationFile, file, signers).usable()
    let records = name.map { matching($0, in: index.directory) } ?? index.directory.records
    if records.isEmpty {
      throw CommandFailure("the index lists nobody by the name \(ASCII.escaped(name ?? ""))", exitCode: CommandFailure.noInput)
    }
    let now = Clock.now().unixSeconds
    for record in records {
      let row = RecordRow(record, now: now)
      say(json ? try Output.json(row) : text(row, allDomains: allDomains || name != nil && records.count == 1))
    }
    if json { return }
    if let signer = index.signer { say("Signed by \(ASCII.escaped(signer.subject)).") }
    say("\(index.directory.records.count) records, \(index.directory.domainCount) domains in \(index.path).")
    for problem in index.problems { say("warning  \(problem)") }
  }

  private static func source(_ configurationFile: String?, _ file: String?, _ signers: String?) throws -> IndexFile {
    let settings = try configurationFile.map { try Service.load($0).index }
    guard let path = file ?? settings?.file else { throw CommandFailure("name a configuration or a file", exitCode: 64) }
    return try IndexFile(path: path, signers: signers ?? settings?.signers)
  }

  /// The record that manages the domain, or those whose name has the words in it.
  private static func matching(_ name: String, in directory: ProviderDirectory) -> [ProviderRecord] {
    let domain = String(name.split(separator: "@").last ?? "")
    if let record = directory.record(managing: domain) { return [record] }
    return directory.records.filter { $0.label.lowercased().contains(name.lowercased()) }
  }

  private static func text(_ row: RecordRow, allDomains: Bool) -> String {
    var lines = [row.provider + (row.environment.map { ", environment \($0)" } ?? "")]
    let few = 8
    let shown = allDomains ? row.domains : Array(row.domains.prefix(few))
    let more = row.domains.count > shown.count ? ", … \(row.domains.count) in all" : ""
    lines.append("  domains          \(shown.joined(separator: ", "))\(more)")
    lines.append("  service mailbox  \(row.serviceMailbox)")
    if let url = row.published { lines.append("  published at     \(url)") }
    for certificate in row.certificates {
      lines.append("  certificate      \(certificate.subject)")
      lines.append("                   for \(certificate.serviceAddresses.joined(separator: ", ")), SHA-1 \(certificate.sha1)")
      lines.append("                   \(certificate.notBefore) to \(certificate.notAfter): \(certificate.state)")
    }
    return lines.map(ASCII.escaped).joined(separator: "\n")
  }

  // MARK: check

  /// Checks an edition of the index before anybody uses it: signature, records, and what would change beside the one in use. Ends with
  /// exit code 65 when the gateway would not take it.
  public static func check(
    _ path: String, configurationFile: String?, signers: String?, json: Bool, say: (String) -> Void
  ) throws {
    let settings = try configurationFile.map { try Service.load($0).index }
    let index = try IndexFile(path: path, signers: signers ?? settings?.signers, at: Clock.now().unixSeconds)
    var faults = index.signatureFault.map { [$0] } ?? []
    if settings?.signers != nil, !index.isSigned { faults.append("the index is not signed, and the configuration demands it") }
    if index.directory.isEmpty, index.signatureFault == nil { faults.append("no record is usable") }
    var changes: [String] = []
    if let settings, faults.isEmpty, let held = try? IndexFile(path: settings.file, signers: settings.signers).usable() {
      let comparison = ProviderIndex.compare(
        held.directory, with: index.directory, problems: index.problems, maximumLossPercent: settings.maximumLossPercent)
      changes = comparison.changes
      faults += comparison.loss.map { ["\($0); an operator can allow that"] } ?? []
    }
    let report = CheckReport(
      ok: faults.isEmpty, signedBy: index.signer?.subject, records: index.directory.records.count, domains: index.directory.domainCount,
      problems: faults + index.problems.map(\.description), changes: changes)
    if json {
      say(try Output.json(report))
    } else {
      for fault in faults { say("error    \(ASCII.escaped(fault))") }
      for problem in index.problems { say("warning  \(problem)") }
      for change in changes { say("change   \(ASCII.escaped(change))") }
      if let signer = index.signer { say("ok       signed by \(ASCII.escaped(signer.subject))") }
      say("\(path): \(report.records) records, \(report.domains) domains; \(faults.isEmpty ? "usable." : "not usable.")")
    }
    if !faults.isEmpty { throw CommandFailure("", exitCode: CommandFailure.dataError) }
  }

  // MARK: fetch

  private struct FetchReport: Encodable {
    var ok: Bool
    var lines: [String]
  }

  /// Fetches the index from where the configuration says: the running gateway does it, or this process where none runs. Ends with exit
  /// code 75 when it could not be had or was not taken; what was in use stays in use then.
  /// - Parameter allowingLosses: the operator's word that domains and certificates may vanish.
  public static func fetch(configurationFile: String, allowingLosses: Bool, json: Bool, say: (String) -> Void) throws {
    let configuration = try Service.load(configurationFile)
    guard configuration.index.fetch != nil else {
      throw CommandFailure(
        "the configuration names no place to fetch the provider index from (index.fetch)", exitCode: CommandFailure.configuration)
    }
    let limits = configuration.limits.fetch
    let report: FetchReport
    if ControlClient.isRunning(configuration.dataDirectory) {
      let request = ControlRequest(verb: "index-fetch", entry: allowingLosses ? "allow-losses" : nil)
      // The transfer, then a minute for what is done with it.
      let answer = try ControlClient.ask(request, of: configuration.dataDirectory, withinSeconds: limits.indexTimeoutSeconds + 60)
      report = FetchReport(ok: answer.ok, lines: answer.message.split(separator: "\n").map(String.init))
    } else {
      let index = try ProviderIndex(configuration)
      _ = index.reload()
      let outcome = IndexFetch.fetch(configuration.index, limits, into: index, allowsLosses: allowingLosses)
      report = FetchReport(ok: outcome.isLoaded, lines: outcome.lines)
    }
    if json { say(try Output.json(report)) } else { report.lines.map(ASCII.escaped).forEach(say) }
    if !report.ok { throw CommandFailure("", exitCode: CommandFailure.tryAgain) }
  }

  // MARK: export

  /// Makes our own record as LDIF for publication (RFC 6109 §4.5.6): name, service mailbox and domains of the configuration, and the
  /// signer's certificate beside those of the index that are still valid, so that both stay during a renewal.
  ///
  /// - Parameters:
  ///   - signed: wrapped into a CMS signature by the signing key, as `.p7m` (`pec-rules` 10.4).
  ///   - url: LDIFLocationURL; nil takes over what the index has.
  ///   - write: takes the octets.
  public static func export(configurationFile: String, signed: Bool, url: String?, write: ([UInt8]) throws -> Void) throws {
    let configuration = try Service.load(configurationFile)
    let now = Clock.now().unixSeconds
    let provider = configuration.provider
    let signer: SignerCredentials
    do {
      signer = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate, serviceAddress: provider.serviceAddress,
        now: now)
    } catch { throw CommandFailure("the signer cannot be used: \(error)", exitCode: CommandFailure.configuration) }
    let held = try? IndexFile(path: configuration.index.file, signers: configuration.index.signers).usable()
    let old = held?.directory.records.first { $0.unit == nil && ASCII.equal($0.providerName, provider.name) }
    let record = ownRecord(provider, signer.certificate, old: old, url: url, now: now)
    let ldif = ProviderDirectory.ldif(of: [record])
    guard signed else { return try write(ldif) }
    let wrapped: [UInt8]
    do { wrapped = try signer.signedContent(ldif, at: now) } catch {
      throw CommandFailure("the record cannot be signed: \(error)", exitCode: CommandFailure.software)
    }
    try write(wrapped)
  }

  static func ownRecord(
    _ provider: ProviderSettings, _ certificate: CertificateFacts, old: ProviderRecord?, url: String?, now: Int64
  ) -> ProviderRecord {
    let others = (old?.certificates ?? []).compactMap { CertificateFacts(der: $0) }.filter {
      $0.notAfter >= now && $0.der != certificate.der
    }
    let all = [certificate] + others
    return ProviderRecord(
      dn: "", line: 0, providerName: provider.name,
      certificateHashes: all.map(\.sha1Fingerprint), certificates: all.map(\.der), mailReceipt: provider.serviceMailbox,
      managedDomains: provider.domains, ldifURL: url ?? old?.ldifURL)
  }
}
