import Limits
import MIMEStream
import Octets
import PEC
import Reception

@testable import Journey

/// One provider in simulation: the real machines over a simulated disk and simulated mailboxes.
struct SimulatedProvider {
  let points: ProviderPoints
  private(set) var disk = SimulatedDisk()
  /// Mailboxes, which survive crashes: octets by "name mailbox", and how often they were stored. A name that is there already is not
  /// stored again, as in a Maildir; a server that takes messages by SMTP stores whatever it is given.
  private(set) var mailboxes: [String: (octets: [UInt8], copies: Int)] = [:]

  // What a crash loses.
  var submissions: [Int: SubmissionJourney] = [:]
  var deliveries: [String: DeliveryJourney] = [:]
  var incoming: [Int: IncomingJourney] = [:]
  var deadlines: [String: DeadlineJourney] = [:]
  /// What is being taken at this moment, so that no two copies both count as the first.
  var claims: [Int: String] = [:]
  var known: [String: (entry: QueueEntry, matter: Matter)] = [:]
  private(set) var sequence: UInt64 = 0

  init(_ points: ProviderPoints) { self.points = points }

  mutating func crash() {
    submissions = [:]
    deliveries = [:]
    incoming = [:]
    deadlines = [:]
    claims = [:]
    disk.crash()
    known = [:]
    for (id, entry) in disk.queue {
      if let reception = entry.reception {
        guard let record = disk.receptions[reception] else { preconditionFailure("an entry without its reception") }
        known[id] = (entry, Matter(record))
      } else {
        guard let transaction = disk.transactions[entry.pecID] else { preconditionFailure("an entry without its transaction") }
        known[id] = (entry, Matter(transaction, nil))
      }
    }
  }

  mutating func nextSequence() -> UInt64 {
    sequence += 1
    return sequence
  }

  mutating func write(_ plan: CommitPlan, original: [UInt8]) -> SimulatedDisk.Written { disk.write(plan, original: original) }
  mutating func sync() { disk.sync() }

  /// False when the ledger refused it.
  mutating func commit(_ written: SimulatedDisk.Written) -> Bool {
    guard disk.commit(written.changes) else { return false }
    for delivery in written.deliveries { known[delivery.entry.id] = (delivery.entry, delivery.matter) }
    return true
  }

  mutating func store(_ entry: QueueEntry, _ recipient: String, isIdempotent: Bool) {
    let name = entry.reception == nil ? entry.messageID : entry.id
    let key = "\(name) \(recipient)"
    let copies = mailboxes[key]?.copies ?? 0
    mailboxes[key] = (disk.octets(of: entry), isIdempotent ? 1 : copies + 1)
  }

  /// A message from outside, examined. The certificate and its mathematics are simulated: everybody signs truly.
  func examine(
    _ octets: [UInt8], from sender: String, to recipients: [String], directory: ProviderDirectory, instant: Instant
  ) -> ReceivedMessage {
    let facts = MessageWalker.facts(of: octets, limits: points.limits.message)
    let claim = PECMessage(facts)
    let certification = claim.certificationPart.map { part -> Result<CertificationData, CertificationFault> in
      let xml = TransferDecoder.decode(Array(octets[part.bodyRange]), encoding: part.transferEncoding)
      do throws(CertificationFault) { return .success(try CertificationData.read(xml: xml)) } catch { return .failure(error) }
    }
    let original = claim.originalPart.map { part in
      OriginalFindings(MessageWalker.facts(of: Array(octets[part.bodyRange]), limits: points.limits.message))
    }
    let domain = claim.from?.address.split(separator: "@").last.map(String.init) ?? ""
    let record = directory.record(managing: domain)
    let signature = SignatureFindings(
      mathematics: .good, certificate: record?.certificates.first ?? [], sha1: record?.certificateHashes.first ?? "",
      mailAddresses: [claim.from?.address ?? ""], notBefore: 0, notAfter: .max, path: .good, revocation: .good, signingTime: nil,
      fingerprint: claim.signedRange.map { Hex.encode(octets[$0]) } ?? "")
    var message = ReceivedMessage(
      reversePath: sender, forwardPaths: recipients, facts: facts, claim: claim, signature: signature, certification: certification,
      original: original, isOverTLS: true)
    if case .success(let data)? = certification {
      let isEnvelope = claim.nature == .envelope
      message.known = disk.receptions.values.compactMap { reception in
        guard reception.facts.pecID == data.pecID, [.envelope, .notification, .serviceNotice].contains(reception.kind) else { return nil }
        guard (reception.kind == .envelope) == isEnvelope else { return nil }
        return KnownReception(
          id: reception.id, fingerprint: reception.fingerprint,
          recipients: reception.recipients, provider: reception.provider, isEnvelope: isEnvelope)
      }
    }
    return message
  }
}
