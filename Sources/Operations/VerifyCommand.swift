import Foundation
import Gateway
import Limits
import MIMEStream
import Octets
import PEC
import Signing

/// `ceralacca verify`: who signed a message, whether it holds at the message's own time, and what it certifies.
public enum VerifyCommand {
  /// The system's authorities, where `--ca` does not name others.
  private static let systemAuthorities = "/etc/ssl/certs/ca-certificates.crt"

  /// What was found about one file.
  struct Finding: Encodable {
    var file: String
    var holds: Bool
    var kind: String
    var sentences: [String]
    var signer: String?
    var signerAddress: String?
    var judgedAt: String?
    var identifier: String?
    var sender: String?
    var recipients: [String] = []
    var subject: String?
    var certifiedTime: String?
    var error: String?
  }

  /// Verifies files. Ends with exit code 65 when one does not hold, 66 when one cannot be read.
  public static func run(files: [String], authority: String?, json: Bool, say: (String) -> Void) throws {
    let anchors: TrustAnchors
    do { anchors = try TrustAnchors(paths: [authority ?? systemAuthorities]) } catch {
      throw CommandFailure("the authorities cannot be read: \(error)", exitCode: CommandFailure.noInput)
    }
    guard !files.isEmpty else { throw CommandFailure("no files were named", exitCode: 64) }
    var failed = 0
    var unread = 0
    for file in files {
      guard let data = FileManager.default.contents(atPath: file) else {
        unread += 1
        say(
          json
            ? try Output.json(Finding(file: file, holds: false, kind: "unreadable", sentences: ["The file cannot be read."]))
            : "\(file): cannot be read")
        continue
      }
      let finding = examine([UInt8](data), named: file, anchors: anchors)
      if !finding.holds { failed += 1 }
      say(json ? try Output.json(finding) : text(finding))
    }
    if !json, files.count > 1 { say("\(files.count - failed - unread) of \(files.count) hold.") }
    if unread > 0 { throw CommandFailure("\(unread) of \(files.count) files could not be read", exitCode: CommandFailure.noInput) }
    if failed > 0 { throw CommandFailure("", exitCode: CommandFailure.dataError) }
  }

  /// Judges one message.
  static func examine(_ stored: [UInt8], named file: String, anchors: TrustAnchors) -> Finding {
    let message = withNetworkLineEnds(stored)
    var limits = MessageLimits()
    limits.maximumBytes = .max
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: Composer.boundaryPrefix)
    walker.feed(message.span)
    let facts = walker.finish()
    let claim = PECMessage(facts)
    var finding = Finding(file: file, holds: false, kind: kind(claim.nature), sentences: [])
    guard let range = claim.signedRange, let signature = claim.signature else {
      finding.sentences = ["The message is not signed: its top is not a multipart/signed with a CMS signature (RFC 1847)."]
      return finding
    }
    let data = certification(claim, message)
    let time = claimedTime(data, facts)
    let cms = TransferDecoder.decode(Array(message[signature.bodyRange]), encoding: signature.transferEncoding)
    let verdict = SignatureVerifier.verify(
      cms: cms, content: [Chunk(Array(message[range]))], anchors: anchors, at: time?.unixSeconds, now: Clock.now().unixSeconds)
    finding.sentences = verdict.sentences
    finding.signer = verdict.signer?.subject
    finding.signerAddress = verdict.signer?.mailAddresses.first
    finding.judgedAt = time?.rfc3339
    finding.holds = verdict.holds && consistent(claim, data, verdict, &finding)
    if case .success(let data?) = data { describe(data, &finding) }
    return finding
  }

  /// Whether header, certification data and signer agree; what does not is said.
  private static func consistent(
    _ claim: PECMessage, _ data: Result<CertificationData?, CertificationFault>, _ verdict: SignatureVerdict, _ finding: inout Finding
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

  private static func describe(_ data: CertificationData, _ finding: inout Finding) {
    finding.identifier = data.pecID
    finding.sender = data.sender
    finding.recipients = data.recipients.map { "\($0.address) (\($0.recipientClass == .certified ? "certified" : "ordinary"))" }
    finding.subject = data.subject
    finding.certifiedTime = data.instant.rfc3339
    if data.error != .none { finding.error = [data.error.rawValue, data.extendedError].compactMap { $0 }.joined(separator: ": ") }
    if let delivery = data.delivery { finding.sentences.append("It speaks of the recipient \(delivery).") }
    finding.sentences.append("It was issued by \(data.provider) at \(data.instant.day) \(data.instant.time) (\(data.instant.zone)).")
  }

  private static func kind(_ nature: PECMessage.Nature) -> String {
    switch nature {
    case .envelope: "transport envelope"
    case .anomalyEnvelope: "anomaly envelope"
    case .notification(let type): type.englishName
    case .ordinary: "not a PEC message"
    case .malformed: "malformed PEC message"
    }
  }

  private static func text(_ finding: Finding) -> String {
    var lines = ["\(finding.file): \(finding.holds ? "HOLDS" : "DOES NOT HOLD") - \(finding.kind)"]
    lines += finding.sentences.map { "  \(ASCII.escaped($0))" }
    let facts: [(String, String?)] = [
      ("identifier", finding.identifier), ("from", finding.sender),
      ("to", finding.recipients.isEmpty ? nil : finding.recipients.joined(separator: ", ")), ("subject", finding.subject),
      ("time", finding.certifiedTime), ("error", finding.error),
    ]
    for (name, value) in facts {
      if let value { lines.append("    \(name.padding(toLength: 11, withPad: " ", startingAt: 0))\(ASCII.escaped(value))") }
    }
    return lines.joined(separator: "\n")
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
