import Journey
import Ledger
import Limits
import MIMEStream
import Octets
import PEC
import Reception
import Signing
import Spool
import Synchronization
import Threading

/// A message from outside that is to be examined.
struct ExaminerJob: Sendable {
  var facts: MessageFacts
  var content: BodyContent
  var reversePath: String
  var forwardPaths: [String]
  var isOverTLS: Bool
  /// Seconds since 1970.
  var arrivedAt: Int64
}

/// What was found out about a message from outside.
struct Examination: Sendable {
  var message: ReceivedMessage
  /// How far our own transaction of the message's PEC id has come, by recipient in lower case.
  var progress: [String: RecipientEnd?] = [:]
  /// Our own transaction of the message's PEC id, where it matters.
  var transaction: TransactionRecord?
  /// A delivery report about an entry of our queue, if it is one.
  var report: ReceivedDeliveryReport?
  /// What nobody else may work on at the same time; give it back when the message is done.
  var claim: String?
  /// True when somebody works on the same message at this moment.
  var isBusy = false
}

/// Threads that look closely at messages: signatures over every octet, certification data, what the ledger knows of them; and brief
/// forms of originals. All that costs more than a lane may spend in one go.
final class Examiner: Sendable {
  private enum Work: Sendable {
    case examine(ExaminerJob, ReturnAddress)
    case brief(QueueEntry, ReceptionRecord, ReturnAddress)
  }

  private let queue: Handoff<Work>
  private let threads: [WorkerThread]
  private let claims: Claims

  init(spool: Spool, ledger: Ledger, trust: TrustStore, limits: MessageLimits, threads count: Int) {
    let queue = Handoff<Work>()
    let claims = Claims()
    let desk = ExaminerDesk(spool: spool, ledger: ledger, judge: { trust.judge }, limits: limits, claims: claims)
    self.queue = queue
    self.claims = claims
    threads = (0..<max(1, count)).map { number in
      WorkerThread(name: "examiner-\(number)") {
        while let works = queue.take(atMost: 1) {
          for work in works {
            switch work {
            case .examine(let job, let address): address.send(desk.examine(job))
            case .brief(let entry, let reception, let address): address.send(desk.brief(entry, reception))
            }
          }
        }
      }
    }
  }

  /// Examines a message; the answer is `.examined` or `.failed`.
  func examine(_ job: ExaminerJob, _ address: ReturnAddress) { hand(.examine(job, address), address) }

  /// Makes the brief form of a received envelope's original; the answer is `.brief` or `.failed`.
  func brief(_ entry: QueueEntry, _ reception: ReceptionRecord, _ address: ReturnAddress) {
    hand(.brief(entry, reception, address), address)
  }

  /// A message is done, and durable if it was to be.
  func release(_ claim: String?) { if let claim { claims.release(claim) } }

  func finish() {
    queue.close()
    for thread in threads { thread.join() }
  }

  private func hand(_ work: Work, _ address: ReturnAddress) {
    if !queue.send(work) { address.send(.failed("the gateway is stopping")) }
  }
}

/// Messages that are being worked on, so that two copies that arrive at the same moment do not both count as the first.
final class Claims: Sendable {
  private let held = Mutex<Set<String>>([])

  func take(_ claim: String) -> Bool { held.withLock { $0.insert(claim).inserted } }
  func release(_ claim: String) { _ = held.withLock { $0.remove(claim) } }
}

/// What an examiner's thread works with.
final class ExaminerDesk: Sendable {
  private let spool: Spool
  private let ledger: Ledger
  private let judge: @Sendable () -> SignatureJudge
  private let limits: MessageLimits
  private let claims: Claims

  /// - Parameter judge: who judges now: trust may change from one message to the next.
  init(spool: Spool, ledger: Ledger, judge: @escaping @Sendable () -> SignatureJudge, limits: MessageLimits, claims: Claims) {
    self.spool = spool
    self.ledger = ledger
    self.judge = judge
    self.limits = limits
    self.claims = claims
  }

  /// Certification data and CMS larger than this are not read: a list of a thousand recipients has a tenth of it.
  private static let maximumPartBytes = 8 << 20

  func examine(_ job: ExaminerJob) -> Completion {
    do {
      let claim = PECMessage(job.facts)
      let certification = try certification(claim, job)
      let certified: Int64? = if case .success(let data)? = certification { data.instant.unixSeconds } else { nil }
      var message = ReceivedMessage(
        reversePath: job.reversePath, forwardPaths: job.forwardPaths, facts: job.facts, claim: claim,
        signature: try signature(claim, job, certified: certified), certification: certification, original: try original(claim, job),
        isOverTLS: job.isOverTLS)
      guard case .success(let data)? = message.certification, let signature = message.signature, case .good = signature.mathematics else {
        return .examined(Examination(message: message, report: try report(job)))
      }
      // One envelope for an identificativo; receipts and notices about it are many, and come together.
      let key =
        switch data.type {
        case .envelope: "\(data.pecID) \(signature.sha1)"
        case .virusDetection: "virus \(data.pecID)"
        default: signature.fingerprint
        }
      guard claims.take(key) else { return .examined(Examination(message: message, isBusy: true)) }
      do {
        message.known = try ExaminerDesk.known(
          pecID: data.pecID, fingerprint: signature.fingerprint, isEnvelope: claim.nature == .envelope, to: ledger)
        let own = data.type == .virusDetection ? try ledger.transaction(pecID: data.pecID) : nil
        return .examined(Examination(message: message, progress: try progress(data), transaction: own, claim: key))
      } catch {
        claims.release(key)
        throw error
      }
    } catch {
      return .failed("\(error)")
    }
  }

  // MARK: Pieces

  private func signature(_ claim: PECMessage, _ job: ExaminerJob, certified: Int64?) throws -> SignatureFindings? {
    guard let part = claim.signature, let range = claim.signedRange, part.bodyRange.count <= ExaminerDesk.maximumPartBytes else {
      return nil
    }
    let cms = TransferDecoder.decode(try job.content.octets(in: part.bodyRange, spool: spool), encoding: part.transferEncoding)
    let content = try job.content.chunks(in: range, spool: spool)
    return SignatureFindings(judge().judge(cms: cms, content: content, at: job.arrivedAt, now: job.arrivedAt, certified: certified))
  }

  private func certification(_ claim: PECMessage, _ job: ExaminerJob) throws -> Result<CertificationData, CertificationFault>? {
    guard let part = claim.certificationPart, part.bodyRange.count <= ExaminerDesk.maximumPartBytes else { return nil }
    let xml = TransferDecoder.decode(try job.content.octets(in: part.bodyRange, spool: spool), encoding: part.transferEncoding)
    do throws(CertificationFault) { return .success(try CertificationData.read(xml: xml)) } catch { return .failure(error) }
  }

  /// The original's header, which is all that is judged of it.
  private func original(_ claim: PECMessage, _ job: ExaminerJob) throws -> OriginalFindings? {
    guard let part = claim.originalPart else { return nil }
    let isEightBit = job.facts.flags.contains(.eightBitBody)
    if let range = claim.originalHeaderRange {
      // One octet more than is read says that there is more.
      let octets = try job.content.octets(in: range.prefix(limits.headerBytes + 1), spool: spool)
      let header = HeaderFacts.parse(octets, limits: limits).header
      return OriginalFindings(messageID: PECMessage.messageID(in: header), header: header, hasEightBit: isEightBit)
    }
    // Encoded, or not taken apart: the header's end is not known.
    var octets = try job.content.octets(in: part.bodyRange.prefix(limits.headerBytes * 2), spool: spool)
    if ExaminerDesk.isEncoded(part.transferEncoding) { octets = TransferDecoder.decode(octets, encoding: part.transferEncoding) }
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: [], checksLines: false)
    walker.feed(octets.span)
    var findings = OriginalFindings(walker.finish())
    findings.hasEightBit = isEightBit
    return findings
  }

  static func isEncoded(_ encoding: String) -> Bool { encoding == "base64" || encoding == "quoted-printable" }

  /// Earlier receptions that this may be a copy of: of an envelope, the envelope; of a receipt, receipts.
  static func known(pecID: String, fingerprint: String, isEnvelope: Bool, to ledger: Ledger) throws -> [KnownReception] {
    try ledger.knownArrivals(pecID: pecID, fingerprint: fingerprint).compactMap { arrival in
      guard arrival.kind != .anomaly, arrival.kind != .ordinary, (arrival.kind == .envelope) == isEnvelope else { return nil }
      return KnownReception(
        id: arrival.id, fingerprint: arrival.fingerprint, recipients: arrival.recipients, provider: arrival.provider,
        isEnvelope: isEnvelope)
    }
  }

  private func progress(_ data: CertificationData) throws -> [String: RecipientEnd?] {
    guard data.type == .virusDetection else { return [:] }
    var progress: [String: RecipientEnd?] = [:]
    for status in try ledger.recipientStates(pecID: data.pecID) {
      progress[ASCII.lowercased(status.recipient.address)] = .some(RecipientEnd(rawValue: status.state.rawValue))
    }
    return progress
  }

  /// A report to the null path's address (RFC 3464) that names an entry of the queue. The ledger knows them all; the lanes, which are to
  /// settle the entry, may not know it yet.
  private func report(_ job: ExaminerJob) throws -> ReceivedDeliveryReport? {
    guard job.reversePath.isEmpty, job.facts.parts.first?.type == "multipart/report" else { return nil }
    let content = job.content
    let spool = spool
    var failure: (any Error)?
    let report = DeliveryReportReader.read(job.facts) { range in
      do { return try content.octets(in: range, spool: spool) } catch {
        failure = error
        return []
      }
    }
    if let failure { throw failure }
    guard let token = report?.envelopeID, try ledger.entry(proofToken: token) != nil else { return nil }
    return report
  }

  // MARK: Brief receipts

  /// Hashes what the brief receipt replaces (RFC 6109 §3.3.2.2).
  func brief(_ entry: QueueEntry, _ reception: ReceptionRecord) -> Completion {
    guard let range = reception.original, !ExaminerDesk.isEncoded(reception.originalEncoding) else { return .brief(nil) }
    do {
      let content = BodyContent.stored(entry.content)
      var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: [], checksLines: false)
      for chunk in try content.chunks(in: range, spool: spool) { chunk.withSpan { walker.feed($0) } }
      guard let plan = BriefOriginal.plan(walker.finish()) else { return .brief(nil) }
      let digests = try plan.hashed.map { part in
        ContentDigest.sha1(
          try content.chunks(in: part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound, spool: spool))
      }
      return .brief(plan.enclosed(digests: digests, offset: range.lowerBound, transferEncoding: reception.originalEncoding))
    } catch {
      return .failed("\(error)")
    }
  }
}
