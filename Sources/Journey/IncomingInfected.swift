import MIMEStream
import Octets
import PEC
import Reception

// Infected mail at the incoming point (`pec-rules` 6.3, 9.4): nothing of it is delivered, and what was taken is put into quarantine.
extension IncomingWork {
  mutating func takeInfected(_ threat: Threat) {
    switch judgement.treatment {
    case .envelope(let data, let record): takeInfectedEnvelope(data, record, threat)
    case .notification(let data, let record): takeInfectedNotice(.notification, data, record, threat)
    case .serviceNotice(let data, let record): takeInfectedNotice(.serviceNotice, data, record, threat)
    case .anomaly: keepCertified(judgement.recipients + judgement.strangers, threat)
    case .ordinary: takeInfectedOrdinary(threat)
    }
    if case .ordinary = judgement.treatment { return }
    takeDuplicates()
  }

  /// Nobody could look into it: the sending server keeps it, and so do we, for the analyst.
  mutating func hold(_ threat: Threat) {
    let recipients = arrival.message.forwardPaths
    verdict = Verdict(code: 451, enhanced: "4.7.1", text: "The message could not be checked for viruses, try again later")
    log(.scanFault, recipients, threat)
    keep(.unscanned, pecID: id, recipients, threat)
  }

  /// Undamaged and correct all the same: taken in charge; then a virus detection notice for each recipient to the provider that signed
  /// it (RFC 6109 §2.2.2, §3.2.3).
  private mutating func takeInfectedEnvelope(_ data: CertificationData, _ record: ProviderRecord, _ threat: Threat) {
    if !judgement.recipients.isEmpty {
      let (reception, facts) = takeInCharge(data, record, end: .failed)
      for recipient in judgement.recipients {
        let notice = point.composer.virusDetection(
          facts, reception: id, recipient: recipient, threat: threat.name, serviceMailbox: record.mailReceipt, at: arrival.instant,
          boundarySeed: seed())
        var event = reception.facts.event(
          .virusDetection, about: recipient, at: arrival.instant, by: reception.provider, made: [notice.messageID])
        event.error = CertificationError.other.rawValue
        event.detail = threat.note
        changes.append(.event(event))
        drafts.append(made(notice, Matter(reception), hasEightBit: false))
      }
      keep(.envelope, pecID: data.pecID, judgement.recipients + judgement.strangers, threat)
    }
    if !judgement.strangers.isEmpty { keepCertified(judgement.strangers, threat) }
  }

  /// A receipt or notice that carries a virus: the rules are silent, and the operator is told (`pec-rules` 6.3).
  private mutating func takeInfectedNotice(_ kind: ReceptionKind, _ data: CertificationData, _ record: ProviderRecord, _ threat: Threat) {
    if !judgement.recipients.isEmpty {
      // Known, so that a second copy is a duplicate; what it certifies is not taken into account.
      changes.append(.reception(notice(kind, data, record), end: .failed))
    }
    keepCertified(judgement.recipients + judgement.strangers, threat)
  }

  private mutating func keepCertified(_ recipients: [String], _ threat: Threat) {
    guard !recipients.isEmpty else { return }
    log(.infectedCertified, recipients, threat)
    if quarantine == nil { keep(.certified, pecID: id, recipients, threat) }
  }

  /// Usual Internet handling, and no notice (RFC 6109 §2.2.2, §2.2.3).
  private mutating func takeInfectedOrdinary(_ threat: Threat) {
    log(.ordinaryInfected, judgement.recipients, threat)
    switch point.security.infectedOrdinary {
    case .refuse:
      verdict = Verdict(code: 550, enhanced: "5.7.1", text: "Refused: a virus was found in the message, \(ASCII.escaped(threat.name))")
    case .discard: keep(.ordinary, pecID: id, judgement.recipients, threat)
    }
  }

  private mutating func log(_ kind: EventKind, _ recipients: [String], _ threat: Threat) {
    var event = uncertified(id: id, recipients: recipients).event(kind, at: arrival.instant, by: provider, made: messageIDs)
    event.detail = threat.note
    // Strangers' words in a log that is never shortened.
    event.subject = event.subject.map { String($0.prefix(200)) }
    changes.append(.event(event))
  }

  private mutating func keep(_ kind: QuarantineRecord.Kind, pecID: String, _ recipients: [String], _ threat: Threat) {
    let message = arrival.message
    quarantine = QuarantineRecord(
      id: id, pecID: pecID, kind: kind, instant: arrival.instant, sender: message.reversePath, recipients: recipients, provider: provider,
      messageID: message.claim.messageID, subject: uncertified(id: id, recipients: []).subject.map { String($0.prefix(200)) },
      threat: threat.name, scanner: threat.scanner, digest: threat.digest, bytes: message.facts.totalBytes)
  }
}
