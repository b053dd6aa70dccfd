import Configuration
import Foundation
import Gateway
import Octets
import Sealing
import Signing
import TLSPipe
import TimeStamping

/// Keys and certificates: whether they belong together, work, and how long they last.
struct DoctorKeys {
  let context: DoctorContext
  private var configuration: GatewayConfiguration { context.configuration }
  private var now: Int64 { context.now }

  private static let renewSigner = "Have the certificate renewed, and publish it in the provider index before it is used."
  private static let renewTLS = "Put the renewed certificate there and say `ceralacca reload`."

  // MARK: The signer

  func signer() -> [DoctorFinding] {
    let settings = configuration.signer
    let provider = configuration.provider
    let looked = settings.isInToken ? "token" : settings.key
    let credentials: SignerCredentials
    do {
      credentials = try SignerCredentials(
        keyPath: settings.key, certificatePath: settings.certificate, serviceAddress: provider.serviceAddress, now: now)
    } catch {
      return [
        DoctorFinding(
          .wrong, "signing", looked, "\(error)", "Nothing is certified without it: the runbook says how a key comes back.",
          runbook: settings.isInToken ? "signer-fails" : "signer-certificate")
      ] + namedCertificate(settings.certificate)
    }
    var findings = [certificate(of: credentials)] + works(credentials, looked)
    if !credentials.isNamed(provider.name) {
      findings.append(
        DoctorFinding(
          .warning, "signing certificate", settings.certificate,
          "its organization and common name are not \"\(provider.name)\" (RFC 6109 §4.5)",
          "Write provider.name as the certificate has it."))
    }
    for warning in credentials.warnings {
      switch warning {
      // These have rows of their own.
      case .expiresSoon, .keyReadableByOthers: continue
      case .lanesFailed:
        findings.append(
          DoctorFinding(
            .warning, "signing", looked, "\(warning)", "Look at the machine's log for faults of its processor.", runbook: "signer-faulty"))
      case .chainDates, .issuerMissing:
        findings.append(
          DoctorFinding(
            .warning, "signing chain", settings.certificate, "\(warning)", "Put the authority's present certificates into the file."))
      case .notInChain, .profile:
        findings.append(DoctorFinding(.note, "signing certificate", settings.certificate, "\(warning)", "Remember it at the next renewal."))
      }
    }
    if let held = context.gateway.report?.signer.notAfter, held != credentials.certificate.notAfter {
      findings.append(
        DoctorFinding(
          .warning, "signing certificate", "the gateway",
          "it signs with one that ends on \(DoctorJudge.day(held)); the file's ends on \(DoctorJudge.day(credentials.certificate.notAfter))",
          "Say `ceralacca reload`.", runbook: "signer-certificate"))
    }
    return findings
  }

  private func certificate(of credentials: SignerCredentials) -> DoctorFinding {
    dates("signing certificate", configuration.signer.certificate, credentials.certificate, DoctorKeys.renewSigner, "signer-certificate")
  }

  /// The dates of what the file has, though no key goes with it.
  private func namedCertificate(_ path: String) -> [DoctorFinding] {
    guard let all = try? IndexFile.certificates(in: path).compactMap({ CertificateFacts(der: $0) }),
      let signer = all.first(where: { !$0.mailAddresses.isEmpty }) ?? all.first
    else { return [] }
    return [dates("signing certificate", path, signer, DoctorKeys.renewSigner, "signer-certificate")]
  }

  private func dates(_ check: String, _ looked: String, _ facts: CertificateFacts, _ remedy: String, _ runbook: String?) -> DoctorFinding {
    context.judge.certificate(
      check, looked, subject: facts.subject, notBefore: facts.notBefore, notAfter: facts.notAfter, remedy: remedy, runbook: runbook)
  }

  /// Signs octets that nobody else has, and verifies them: with the certificate alone, and up to the authorities.
  private func works(_ credentials: SignerCredentials, _ looked: String) -> [DoctorFinding] {
    let octets = (0..<4).flatMap { _ in DoctorKeys.octets(of: Entropy.word()) }
    let signed: [UInt8]
    do {
      signed = try credentials.signedContent(octets, at: now)
      let opened = try SignedContent.open(signed, signers: [credentials.certificate.der], anchors: nil, at: now)
      guard opened.content == octets else {
        return [
          DoctorFinding(.wrong, "signing", looked, "what it signed is not what it was given", "Stop the gateway.", runbook: "signer-faulty")
        ]
      }
    } catch {
      return [
        DoctorFinding(
          .wrong, "signing", looked, "a trial signature fails: \(error)", "Look at the token and its log, or restore the key.",
          runbook: "signer-fails")
      ]
    }
    let works = DoctorFinding.ok(
      "signing", looked,
      "\(credentials.certificate.publicKey), \(credentials.backend), for \(credentials.serviceAddress); a trial signature verifies")
    return [works] + chain(signed)
  }

  private static func octets(of word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }

  private func chain(_ signed: [UInt8]) -> [DoctorFinding] {
    let trust = configuration.trust
    let check = "signing chain"
    guard !trust.authorities.isEmpty else {
      return [DoctorFinding(.note, check, configuration.signer.certificate, "trust.authorities names nobody, so it was followed nowhere")]
    }
    do {
      let anchors = try TrustAnchors(paths: trust.authorities)
      let lists = RevocationLists()
      for source in trust.revocationLists where !TrustSettings.isAddress(source) {
        if let octets = FileManager.default.contents(atPath: source) {
          _ = try? lists.load([UInt8](octets), named: source, anchors: anchors)
        }
      }
      let opened = try SignedContent.open(signed, signers: [], anchors: anchors, at: now, lists: lists)
      let revocation: String
      switch opened.revocation {
      case .good: revocation = "; not revoked"
      default: revocation = "; no present list says whether it is revoked"
      }
      return [.ok(check, configuration.signer.certificate, "leads to the authorities of trust.authorities\(revocation)")]
    } catch {
      return [
        DoctorFinding(
          .wrong, check, configuration.signer.certificate, "\(error)",
          "Put the intermediate certificates into the file, behind the signer's.",
          runbook: "signer-certificate")
      ]
    }
  }

  // MARK: Other certificates

  func others() -> [DoctorFinding] { tls + indexClient + stamping }

  private var tls: [DoctorFinding] {
    guard let settings = configuration.tls else { return [] }
    var findings: [DoctorFinding] = []
    let identities =
      [ServerIdentity(certificatePEM: settings.certificate, keyPEM: settings.key)]
      + settings.names.map { ServerIdentity(certificatePEM: $0.certificate, keyPEM: $0.key) }
    var isSound = true
    for identity in identities {
      do {
        _ = try TLSContext.server([identity])
        findings += leaf(identity.certificatePEM, "TLS certificate", DoctorKeys.renewTLS, "tls-certificate")
      } catch {
        isSound = false
        findings.append(
          DoctorFinding(
            .wrong, "TLS certificate", identity.certificatePEM, "\(error)", "Name a certificate and the key that belongs to it.",
            runbook: "tls-certificate"))
      }
    }
    do { if isSound { findings += name(try TLSContext.server(settings).certificates) } } catch {
      findings.append(
        DoctorFinding(
          .wrong, "TLS certificate", settings.certificate, "\(error)", "Mend `tls` in the configuration.", runbook: "tls-certificate"))
    }
    return findings
  }

  /// Whether clients that ask for our name find it in a certificate.
  private func name(_ certificates: [TLSCertificateFacts]) -> [DoctorFinding] {
    let host = configuration.hostname.lowercased()
    let wildcard = host.firstIndex(of: ".").map { "*" + host[$0...] }
    if certificates.contains(where: { facts in facts.names.contains(host) || wildcard.map(facts.names.contains) == true }) { return [] }
    return [
      DoctorFinding(
        .note, "TLS certificate", configuration.tls?.certificate ?? "", "no certificate has the name \(host)",
        "Clients that look at names refuse it under this one.")
    ]
  }

  private func leaf(_ path: String, _ check: String, _ remedy: String, _ runbook: String?) -> [DoctorFinding] {
    do {
      guard let first = try IndexFile.certificates(in: path).first, let facts = CertificateFacts(der: first) else { return [] }
      return [dates(check, path, facts, remedy, runbook)]
    } catch {
      return [
        DoctorFinding(
          .wrong, check, path, (error as? CommandFailure)?.message ?? "\(error)", "Name a PEM file with the certificate.", runbook: runbook)
      ]
    }
  }

  private var indexClient: [DoctorFinding] {
    guard let path = configuration.index.fetch?.certificate else { return [] }
    return leaf(path, "index certificate", "Have our certificate for the index's server renewed.", "index-stale")
  }

  /// Seals without a stamp that are passed over on the way to the newest with one.
  private static let sealsLookedAt = 20

  /// The authority that stamped last: its certificate shows when a renewal of stamps is due.
  private var stamping: [DoctorFinding] {
    let check = "time stamps"
    guard !configuration.certifiedLog.timeStamps.authorities.isEmpty else {
      return [
        DoctorFinding(
          .note, check, "certifiedLog.timeStamps", "no authority is named: seals go unstamped", "Name one.", runbook: "stamp-missing")
      ]
    }
    let store = SealStore(path: Gateway.sealsPath(configuration.dataDirectory))
    for number in ((try? store.numbers()) ?? []).suffix(DoctorKeys.sealsLookedAt).reversed() {
      guard let stamp = FileManager.default.contents(atPath: store.file(number, SealFileNames.stamp)),
        let token = try? TimeStampToken(reading: [UInt8](stamp))
      else { continue }
      return [
        context.judge.certificate(
          check, "seal \(number)", subject: token.authority, notBefore: token.certificateNotBefore, notAfter: token.certificateNotAfter,
          remedy: "See that the authority stamps with a new certificate by now: `ceralacca seal verify` tells.", runbook: "stamp-missing")
      ]
    }
    return [DoctorFinding(.note, check, store.path, "no stamped seal is here yet")]
  }
}
