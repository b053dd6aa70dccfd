import Foundation
import Gateway
import Limits
import MIMEStream
import Octets
import PEC
import Signing

/// Judges archived messages as a court would years later: at the message's own time, not now (`pec-rules` 11.5).
public struct MessageVerifier {
  /// The system's authorities, where none are named.
  private static let systemAuthorities = "/etc/ssl/certs/ca-certificates.crt"

  private let anchors: TrustAnchors
  private let lists: RevocationLists?
  private let directory: ProviderDirectory?

  /// Reads what messages are judged by.
  ///
  /// - Parameters:
  ///   - authority: PEM file of the authorities that may vouch for a signer; the system's when nil.
  ///   - index: the provider index of the messages' time, LDIF or its signed form; nil leaves open whose the certificate is.
  ///   - indexSigners: PEM file with the certificates (or their authorities) that must have signed a signed index; `authority` when nil.
  ///   - revocationLists: files with revocation lists, DER or PEM; with none, revocation is not looked up.
  /// - Throws: `CommandFailure` with exit code 66 for what cannot be read, 65 for what cannot be believed.
  public init(authority: String?, index: String? = nil, indexSigners: String? = nil, revocationLists: [String] = []) throws {
    let authorities = authority ?? MessageVerifier.systemAuthorities
    do { anchors = try TrustAnchors(paths: [authorities]) } catch {
      throw CommandFailure("the authorities cannot be read: \(error)", exitCode: CommandFailure.noInput)
    }
    directory = try index.map { try IndexFile(path: $0, signers: indexSigners ?? authorities).usable().directory }
    guard !revocationLists.isEmpty else {
      lists = nil
      return
    }
    let lists = RevocationLists()
    for path in revocationLists {
      guard let octets = FileManager.default.contents(atPath: path) else {
        throw CommandFailure("\(path) cannot be read", exitCode: CommandFailure.noInput)
      }
      do { _ = try lists.load([UInt8](octets), named: path, anchors: anchors) } catch {
        throw CommandFailure("\(path) is of no use: \(error)", exitCode: CommandFailure.dataError)
      }
    }
    self.lists = lists
  }

  /// Judges one message.
  /// - Parameters:
  ///   - stored: its octets, with CRLF or LF line ends.
  ///   - file: what it is called in the finding.
  public func examine(_ stored: [UInt8], named file: String) -> MessageFinding {
    let message = MessageVerifier.withNetworkLineEnds(stored)
    var limits = MessageLimits()
    limits.maximumBytes = .max
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: Composer.boundaryPrefix)
    walker.feed(message.span)
    let facts = walker.finish()
    let claim = PECMessage(facts)
    let data = MessageVerifier.certification(claim, message)
    let name = KindName(claim, try? data.get())
    var finding = MessageFinding(file: file, kind: name.english)
    finding.italianKind = name.italian
    finding.messageID = claim.messageID
    finding.title = facts.header.first(named: "Subject").map { EncodedWord.decode(facts.header.value(of: $0)) }
    guard let range = claim.signedRange, let signature = claim.signature else {
      finding.sentences = ["The message is not signed: its top is not a multipart/signed with a CMS signature (RFC 1847)."]
      return finding
    }
    let time = MessageVerifier.claimedTime(data, facts)
    let cms = TransferDecoder.decode(Array(message[signature.bodyRange]), encoding: signature.transferEncoding)
    let verdict = SignatureVerifier.verify(
      cms: cms, content: [Chunk(Array(message[range]))], anchors: anchors, lists: lists, at: time?.unixSeconds,
      now: Clock.now().unixSeconds)
    finding.sentences = verdict.sentences
    finding.signer = verdict.signer?.subject
    finding.signerAddress = verdict.signer?.mailAddresses.first
    finding.judgedAt = time?.rfc3339
    let isListed = judgeOrigin(claim, verdict.signer, &finding)
    let isConsistent = MessageVerifier.consistent(claim, data, verdict, &finding)
    finding.holds = verdict.holds && isListed && isConsistent
    if case .success(let data?) = data { finding.describe(data) }
    return finding
  }

  // MARK: The checks

  /// Whose certificate it is (`pec-rules` 6.2, C2) and whether From is of that provider's domains (C5).
  private func judgeOrigin(_ claim: PECMessage, _ signer: CertificateFacts?, _ finding: inout MessageFinding) -> Bool {
    guard let directory, let signer else { return true }
    guard let record = directory.record(certificateHash: signer.sha1Fingerprint) else {
      finding.sentences.append(
        "The provider index does not list the signer's certificate: by this edition of it the message does not come from a PEC provider.")
      return false
    }
    guard record.certificates.contains(signer.der) else {
      finding.sentences.append(
        "The provider index lists the SHA-1 of the signer's certificate for \(record.label), but another certificate: one is a forgery.")
      return false
    }
    finding.provider = record.providerName
    finding.sentences.append("The provider index lists the certificate; \(record.label) signs with it.")
    guard let domain = claim.from?.domain else {
      finding.sentences.append("From does not name exactly one address, so nothing ties the message to a domain of that provider.")
      return false
    }
    let manager = directory.record(managing: domain)
    guard let manager, ASCII.equal(manager.providerName, record.providerName) else {
      let owner = manager.map { "it is \($0.label)'s" } ?? "nobody's in the index"
      finding.sentences.append("From is of the domain \(domain), which is not one of that provider's domains: \(owner).")
      return false
    }
    finding.sentences.append("From is of the domain \(domain), which that provider manages.")
    return true
  }

  /// Whether header, certification data and signer agree; what does not is said.
  private static func consistent(
    _ claim: PECMessage, _ data: Result<CertificationData?, CertificationFault>, _ verdict: SignatureVerdict,
    _ finding: inout MessageFinding
  ) -> Bool {
    var faults: [String] = []
    switch data {
    case .success(let data?): faults = claim.contradictions(with: data)
    case .success(nil):
      if claim.nature != .anomalyEnvelope { faults = ["there is no daticert.xml where it belongs"] }
    case .failure(let fault): faults = ["the certification data cannot be read: \(fault)"]
    }
    if case .malformed(let reason) = claim.nature { faults.append(reason) }
    if case .ordinary = claim.nature { faults.append("it is signed, but neither X-Ricevuta nor X-Trasporto makes it a PEC message") }
    // RFC 6109 §2.1: From is the address in the signer's certificate.
    if let from = claim.from, let signer = verdict.signer, !signer.mailAddresses.contains(where: { ASCII.equal($0, from.address) }) {
      faults.append("From says \(from.address), the certificate is for \(signer.mailAddresses.joined(separator: ", "))")
    }
    var unique: [String] = []
    for fault in faults where !unique.contains(fault) { unique.append(fault) }
    finding.sentences += unique.map { "It contradicts itself: \($0)." }
    return unique.isEmpty
  }

  private static func certification(_ claim: PECMessage, _ message: [UInt8]) -> Result<CertificationData?, CertificationFault> {
    guard let part = claim.certificationPart else { return .success(nil) }
    let xml = TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding)
    do throws(CertificationFault) { return .success(try CertificationData.read(xml: xml)) } catch { return .failure(error) }
  }

  /// The message's own time (`pec-rules` 11.5): of the certification data, else of the Date field.
  private static func claimedTime(_ data: Result<CertificationData?, CertificationFault>, _ facts: MessageFacts) -> Instant? {
    if case .success(let data?) = data { return data.instant }
    guard let field = facts.header.first(named: "Date") else { return nil }
    return HeaderDate.parse(String(decoding: facts.header.value(of: field), as: UTF8.self))
  }

  /// CRLF line ends, as the message was signed, whatever the file was stored with; nothing else is changed (`pec-rules` 11.1).
  static func withNetworkLineEnds(_ stored: [UInt8]) -> [UInt8] {
    var isMixed = false
    for index in stored.indices where stored[index] == 10 && (index == 0 || stored[index - 1] != 13) {
      isMixed = true
      break
    }
    guard isMixed else { return stored }
    var message: [UInt8] = []
    message.reserveCapacity(stored.count + stored.count / 32)
    for (index, byte) in stored.enumerated() {
      if byte == 10, index == 0 || stored[index - 1] != 13 { message.append(13) }
      message.append(byte)
    }
    return message
  }
}
