import Accounts
import Configuration
import Foundation
import Gateway
import Octets
import PEC
import ProviderIndex
import Signing
import TLSPipe

/// `ceralacca check`: a configuration and everything it names, looked at without starting anything.
public enum CheckCommand {
  private struct Report: Encodable {
    var ok: Bool
    var errors: [String]
    var warnings: [String]
  }

  /// Checks a configuration. Ends with exit code 78 when something would keep the gateway from starting.
  public static func run(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    var inspection = Inspection(now: Clock.now().unixSeconds)
    do { inspection.look(at: try GatewayConfiguration.load(path: configurationFile)) } catch {
      inspection.errors = error.problems.map(\.description)
    }
    let errors = inspection.errors
    if json {
      say(try Output.json(Report(ok: errors.isEmpty, errors: errors, warnings: inspection.warnings)))
    } else {
      for fact in inspection.facts { say("ok       \(fact)") }
      for warning in inspection.warnings { say("warning  \(warning)") }
      for error in errors { say("error    \(error)") }
      say(errors.isEmpty ? "\(configurationFile): the gateway can start with this." : "\(configurationFile): \(errors.count) errors.")
    }
    if !errors.isEmpty { throw CommandFailure("", exitCode: CommandFailure.configuration) }
  }
}

/// What a look at everything that a configuration names brings to light.
struct Inspection {
  /// Seconds since 1970.
  var now: Int64
  var errors: [String] = []
  var warnings: [String] = []
  var facts: [String] = []
  private var signer: CertificateFacts?

  init(now: Int64) { self.now = now }

  /// Looks at every part.
  mutating func look(at configuration: GatewayConfiguration) {
    lookAtSigner(configuration)
    if let tls = configuration.tls {
      do {
        for certificate in try TLSContext.server(tls).certificates {
          facts.append("tls: \(certificate.path)" + (certificate.names.isEmpty ? "" : ", for \(certificate.names.joined(separator: ", "))"))
          if let fault = certificate.fault(at: now) { warnings.append("tls: \(fault): clients will refuse to connect") }
        }
      } catch { errors.append("tls: \(error)") }
    }
    do {
      let accounts = try Accounts(path: configuration.usersFile)
      if let file = configuration.usersFile {
        facts.append("users: \(accounts.snapshot.count) in \(file)")
        warnings += accounts.problems.map { "\(file): \($0)" }
      }
      if let dovecot = configuration.dovecot { facts.append("users: Dovecot at \(dovecot)") }
    } catch { errors.append("users: \(error)") }
    lookAtIndex(configuration)
    lookAtFetch(configuration.index)
    lookAtTrust(configuration)
    lookAtScanner(configuration)
    lookAtLog(configuration)
    if case .smtp(let server) = configuration.mailboxes {
      facts.append(
        "mailboxes: \(server.nextHop), whose delivery reports are believed from \(server.reportsFrom.entries.joined(separator: ", "))")
      if !configuration.listeners.contains(where: { $0.kind == .incoming }) {
        warnings.append("mailboxes: no listener of kind incoming takes the mailbox server's delivery reports")
      }
    }
    if let quota = configuration.quota { facts.append("mailboxes: \(quota) is asked whether they have room") }
    lookAtExchangers(configuration)
    for route in configuration.routes where route.credentials != nil {
      do { _ = try route.credentials?.password() } catch { errors.append("\(error)") }
    }
    do { _ = try configuration.mailboxSearch?.password() } catch { errors.append("\(error)") }
  }

  private mutating func lookAtSigner(_ configuration: GatewayConfiguration) {
    let provider = configuration.provider
    do {
      let signer = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate, serviceAddress: provider.serviceAddress,
        now: now)
      facts.append(
        "signer: \(signer.certificate.subject), \(signer.certificate.publicKey), for \(signer.serviceAddress); \(signer.backend)")
      warnings += signer.warnings.map { "signer: \($0)" }
      if !signer.isNamed(provider.name) {
        warnings.append("signer: the certificate's organization and common name are not \"\(provider.name)\" (RFC 6109 §4.5)")
      }
      self.signer = signer.certificate
    } catch { errors.append("signer: \(error)") }
  }

  // MARK: The index

  private mutating func lookAtIndex(_ configuration: GatewayConfiguration) {
    let settings = configuration.index
    let index: IndexFile
    do { index = try IndexFile(path: settings.file, signers: settings.signers) } catch {
      let remedy = settings.fetch.map { "; `ceralacca index fetch` gets it from \($0.url)" } ?? ""
      return errors.append("provider index: \((error as? CommandFailure)?.message ?? "\(error)")\(remedy)")
    }
    if let fault = index.signatureFault { return errors.append("provider index: \(settings.file): \(fault)") }
    if settings.signers != nil, !index.isSigned {
      return errors.append("provider index: \(settings.file) is not signed, and index.signers demands it")
    }
    if index.directory.isEmpty {
      let why = [settings.file + ": no record is usable"] + index.problems.prefix(3).map(\.description)
      return errors.append("provider index: " + why.joined(separator: "; "))
    }
    let signed = index.signer.map { ", signed by \($0.subject)" } ?? ""
    facts.append("provider index: \(index.directory.records.count) records, \(index.directory.domainCount) domains\(signed)")
    warnings += index.problems.map { "\(settings.file): \($0)" }
    compare(configuration.provider, with: index.directory)
  }

  /// What others read about us: with another service mailbox or certificate than ours, their answers go astray.
  private mutating func compare(_ provider: ProviderSettings, with directory: ProviderDirectory) {
    var seen: [String] = []
    for domain in provider.domains {
      guard let record = directory.record(managing: domain) else {
        warnings.append("provider index: our own domain \(domain) is not listed: mail to it counts as ordinary")
        continue
      }
      guard ASCII.equal(record.providerName, provider.name) else {
        warnings.append("provider index: our own domain \(domain) is listed for \(record.label)")
        continue
      }
      if seen.contains(record.label) { continue }
      seen.append(record.label)
      if !ASCII.equal(record.mailReceipt, provider.serviceMailbox) {
        warnings.append(
          "provider index: our service mailbox is listed as \(record.mailReceipt), here it is \(provider.serviceMailbox): "
            + "take-charge receipts go astray")
      }
    }
    guard let signer else { return }
    if directory.record(certificateHash: signer.sha1Fingerprint)?.certificates.contains(signer.der) != true {
      warnings.append("provider index: our signer's certificate is not listed: others take our mail for ordinary mail")
    }
  }

  private mutating func lookAtFetch(_ settings: IndexSettings) {
    guard let fetch = settings.fetch else { return }
    facts.append("provider index: fetched from \(fetch.url) every \(fetch.everyMinutes) minutes")
    for path in [fetch.caFile, fetch.certificate, fetch.key].compactMap({ $0 })
    where !FileManager.default.isReadableFile(atPath: path) {
      errors.append("provider index: \(path) cannot be read")
    }
    do { _ = try fetch.password() } catch { errors.append("provider index: \(error)") }
    if settings.signers == nil, !fetch.usesLDAP {
      warnings.append("provider index: what is fetched is believed without a signature: name who signs it with index.signers")
    }
  }

  // MARK: Trust

  private mutating func lookAtTrust(_ configuration: GatewayConfiguration) {
    let trust = configuration.trust
    guard !trust.authorities.isEmpty else { return }
    let anchors: TrustAnchors
    do { anchors = try TrustAnchors(paths: trust.authorities) } catch { return errors.append("trust: \(error)") }
    facts.append("trust: \(anchors.subjects.count) authorities")
    let lists = RevocationLists()
    for source in trust.revocationLists {
      if TrustSettings.isAddress(source) {
        facts.append("trust: a revocation list is fetched from \(source) every \(trust.refreshMinutes) minutes")
        continue
      }
      guard let octets = FileManager.default.contents(atPath: source) else {
        warnings.append("trust: the revocation list \(source) cannot be read")
        continue
      }
      do { facts += try lists.load([UInt8](octets), named: source, anchors: anchors).map { "trust: \($0)" } } catch {
        warnings.append("trust: \(error)")
      }
    }
    warnings += lists.staleLines(at: now).map { "trust: \($0)" }
    if trust.revocationLists.isEmpty, !trust.usesDistributionPoints {
      warnings.append("trust: revocation is never looked up: name trust.revocationLists, or set trust.usesDistributionPoints")
    }
  }
}
