import Configuration
import Foundation
import Gateway
import Ledger
import Octets
import PEC
import ProviderIndex
import Scanning
import Signing
import Synchronization
import Threading

/// What is kept in files: ledger, provider index, revocation lists, virus signatures.
struct DoctorStores {
  let context: DoctorContext
  private var configuration: GatewayConfiguration { context.configuration }
  private var now: Int64 { context.now }

  // MARK: Ledger

  /// Seconds that the look through the ledger's pages may take.
  private static let ledgerSeconds = 6

  func ledger() -> [DoctorFinding] {
    let check = "ledger"
    let path = Gateway.ledgerPath(configuration.dataDirectory)
    guard FileManager.default.fileExists(atPath: path) else {
      if context.gateway.report != nil {
        return [
          DoctorFinding(
            .wrong, check, path, "the gateway runs and the file is not there", "Read the runbook before anything is stopped.",
            runbook: "storage-broken")
        ]
      }
      return [DoctorFinding(.note, check, path, "it is not there yet; the gateway makes it at its first start")]
    }
    let isOwned: Bool
    switch context.gateway {
    case .absent: isOwned = false
    case .running, .starting, .silent, .closed: isOwned = true
    }
    do {
      return [try pages(try Ledger.openLeavingNoTrace(path: path, isOwned: isOwned), check, path)]
    } catch {
      switch error {
      case .olderSchema(_, let found, let known):
        return [
          DoctorFinding(
            .note, check, path, "schema \(found), and this program has \(known)",
            "The next start brings it up to date, and keeps a copy of it as it is; have a backup too.")
        ]
      case .newerSchema(_, let found, let known):
        return [
          DoctorFinding(
            .wrong, check, path, "schema \(found), and this program knows up to \(known)",
            "Start the newer program that wrote it: this one does not touch it.")
        ]
      case .busy:
        return [
          DoctorFinding(
            .warning, check, path, "another process holds it", "End the database shell or backup that locks it.", runbook: "ledger-refuses")
        ]
      case .cannotOpen, .notALedger, .noRoomToCopy, .diskFull, .conflict, .damaged, .failed:
        return [DoctorFinding(.wrong, check, path, "\(error)", "Read the runbook before anything is restarted.", runbook: "storage-broken")]
      }
    }
  }

  private func pages(_ reader: LedgerReader, _ check: String, _ path: String) throws(LedgerError) -> DoctorFinding {
    let done = Handoff<Void>()
    let late = LateFlag()
    let watch = WorkerThread(name: "doctor-ledger") {
      done.wait(forSeconds: DoctorStores.ledgerSeconds)
      guard done.count == 0 else { return }
      late.set()
      reader.interrupt()
    }
    defer {
      done.send(())
      watch.join()
    }
    let size = ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue ?? 0
    let words = "schema \(Ledger.schema), \(StatusPage.size(size))"
    do {
      let faults = try reader.quickFaults(limit: 3)
      if faults.isEmpty { return .ok(check, path, "\(words), its pages are in order") }
      return DoctorFinding(
        .wrong, check, path, "damaged: \(faults.joined(separator: "; "))",
        "Stop the gateway, keep a copy of the file and of its -wal, and restore it.",
        runbook: "storage-broken")
    } catch {
      guard late.isSet else { throw error }
      return DoctorFinding(
        .note, check, path, "\(words); not looked through within \(DoctorStores.ledgerSeconds) seconds",
        "`ceralacca log verify` looks through all of it.")
    }
  }

  // MARK: Index

  func index() -> [DoctorFinding] {
    let settings = configuration.index
    let check = "index"
    let copy = "\(configuration.dataDirectory)/index.last-good.ldif"
    let path = FileManager.default.fileExists(atPath: settings.file) ? settings.file : copy
    let index: IndexFile
    do { index = try IndexFile(path: path, signers: settings.signers) } catch {
      let words = (error as? CommandFailure)?.message ?? "\(error)"
      return [
        DoctorFinding(
          .wrong, check, settings.file, words, "Say `ceralacca index fetch`, or put the present index there.", runbook: "index-empty")
      ]
    }
    if let fault = index.signatureFault {
      return [
        DoctorFinding(.wrong, "index signature", path, fault, "Look at index.signers, and fetch the index anew.", runbook: "index-empty")
      ]
    }
    guard !index.directory.isEmpty else {
      let why = index.problems.prefix(3).map(\.description).joined(separator: "; ")
      return [
        DoctorFinding(
          .wrong, check, path, "no record is usable\(why.isEmpty ? "" : ": \(why)")", "Put the present index there.", runbook: "index-empty"
        )
      ]
    }
    var findings: [DoctorFinding] = [signature(index)]
    let written = ((try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date).map {
      Int64($0.timeIntervalSince1970)
    }
    let told = settings.fetch == nil ? nil : context.gateway.report?.index.confirmedAt
    findings.append(
      context.judge.indexAge(
        path, confirmedAt: told ?? written ?? 0, isFetched: settings.fetch != nil,
        contents: "\(index.directory.records.count) providers, \(index.directory.domainCount) domains"))
    if let held = context.gateway.report?.index, held.records != index.directory.records.count {
      findings.append(
        DoctorFinding(
          .warning, check, "the gateway", "it works with \(held.records) providers, and the file has \(index.directory.records.count)",
          "Say `ceralacca reload` and read what it answers.", runbook: "index-stale"))
    }
    return findings + ourselves(index)
  }

  private func signature(_ index: IndexFile) -> DoctorFinding {
    let check = "index signature"
    if let signer = index.signer { return .ok(check, index.path, "verifies; signed by \(signer.subject)") }
    if configuration.index.signers != nil, configuration.index.fetch?.usesLDAP != true {
      return DoctorFinding(
        .wrong, check, index.path, "it is not signed, and index.signers demands it", "Put the signed index there.", runbook: "index-empty")
    }
    return DoctorFinding(
      .note, check, index.path, "it is not signed, and the configuration does not ask for it", "Name who signs it with index.signers.")
  }

  /// What others read about us.
  private func ourselves(_ index: IndexFile) -> [DoctorFinding] {
    let provider = configuration.provider
    let check = "index record"
    func finding(_ level: DoctorLevel, _ found: String) -> DoctorFinding {
      DoctorFinding(
        level, check, index.path, found, "Publish a new record: `ceralacca index export` makes it.", runbook: "signer-certificate")
    }
    var findings: [DoctorFinding] = []
    var records: [ProviderRecord] = []
    for domain in provider.domains {
      guard let record = index.directory.record(managing: domain) else {
        findings.append(finding(.wrong, "our domain \(domain) is not listed: mail to it counts as ordinary"))
        continue
      }
      guard ASCII.equal(record.providerName, provider.name) else {
        findings.append(finding(.wrong, "our domain \(domain) is listed for \(record.label)"))
        continue
      }
      if !records.contains(where: { $0.label == record.label }) { records.append(record) }
    }
    for record in records where !ASCII.equal(record.mailReceipt, provider.serviceMailbox) {
      findings.append(finding(.warning, "our service mailbox is listed as \(record.mailReceipt), here it is \(provider.serviceMailbox)"))
    }
    let listed = records.flatMap(\.certificates)
    if let own = ownCertificate {
      if !listed.contains(own.der) {
        findings.append(finding(.wrong, "our signing certificate is not listed: others take our mail for ordinary mail"))
      } else if findings.isEmpty {
        findings.append(
          .ok(
            check, index.path,
            "lists our \(provider.domains.count == 1 ? "domain" : "\(provider.domains.count) domains"), mailbox and certificate"))
      }
    }
    for facts in listed.compactMap({ CertificateFacts(der: $0) }) where facts.notAfter >= now || facts.der == ownCertificate?.der {
      findings.append(
        context.judge.certificate(
          "index certificate", index.path, subject: "\(facts.subject), serial \(facts.serialNumber)", notBefore: facts.notBefore,
          notAfter: facts.notAfter,
          remedy: "Publish the renewed certificate beside it: `ceralacca index export` makes the record.", runbook: "signer-certificate"))
    }
    return findings
  }

  private var ownCertificate: CertificateFacts? {
    let all = ((try? IndexFile.certificates(in: configuration.signer.certificate)) ?? []).compactMap { CertificateFacts(der: $0) }
    return all.filter { facts in facts.mailAddresses.contains { ASCII.equal($0, configuration.provider.serviceAddress) } }.max {
      $0.notAfter < $1.notAfter
    }
  }

  // MARK: Revocation lists

  func revocation() -> [DoctorFinding] {
    let trust = configuration.trust
    guard !trust.authorities.isEmpty else { return [] }
    let check = "revocation list"
    let anchors: TrustAnchors
    do { anchors = try TrustAnchors(paths: trust.authorities) } catch {
      return [DoctorFinding(.wrong, "authorities", "trust.authorities", "\(error)", "Name PEM files of authorities.")]
    }
    var findings: [DoctorFinding] = []
    for source in trust.revocationLists where !TrustSettings.isAddress(source) {
      guard let octets = FileManager.default.contents(atPath: source) else {
        findings.append(
          DoctorFinding(.warning, check, source, "it cannot be read", "Put the authority's list there.", runbook: "revocation-outdated"))
        continue
      }
      let lists = RevocationLists()
      do {
        _ = try lists.load([UInt8](octets), named: source, anchors: anchors)
        let figures = lists.figures(at: now)
        findings.append(context.judge.revocation(source, lists: figures.lists, nextDue: figures.nextDue))
      } catch {
        findings.append(
          DoctorFinding(.warning, check, source, "\(error)", "Put the authority's list there.", runbook: "revocation-outdated"))
      }
    }
    if trust.revocationLists.contains(where: TrustSettings.isAddress) || trust.usesDistributionPoints {
      guard let held = context.gateway.report?.index else {
        return findings + [DoctorFinding(.note, check, "fetched lists", "they are in the memory of a gateway that runs")]
      }
      let words = "\(held.revocationLists) held, \(held.revocationListsOutdated) out of date"
      findings.append(
        held.revocationListsOutdated == 0
          ? .ok(check, "the gateway", words)
          : DoctorFinding(.warning, check, "the gateway", words, "See in its log why they are not fetched.", runbook: "revocation-outdated")
      )
    } else if trust.revocationLists.isEmpty {
      findings.append(
        DoctorFinding(
          .warning, check, "trust", "revocation is never looked up", "Name trust.revocationLists, or set trust.usesDistributionPoints."))
    }
    return findings
  }
}

/// A flag that one thread sets and another reads.
private final class LateFlag: Sendable {
  private let flag = Atomic<Bool>(false)
  func set() { flag.store(true, ordering: .relaxed) }
  var isSet: Bool { flag.load(ordering: .relaxed) }
}
