import MIMEStream
import Octets
import PEC
import Reception

// Ordinary mail at the incoming point: what each mailbox wants done with it (`pec-rules` 6.3, 13.2, 13.10). No receipt and no signed
// notice about it is ever made (RFC 6109 §2.2.3); what was answered 250 and cannot be handed over is told by a plain report.
extension IncomingWork {
  mutating func takeOrdinary(isForged: Bool) {
    var refused: [String] = []
    var unknown: [String] = []
    var discarded: [String] = []
    var enveloped: [String] = []
    var forwarded: [(from: String, to: String)] = []
    for recipient in judgement.recipients {
      let address = ASCII.lowercased(recipient)
      // Bounces of our receipts, and whatever else is sent to addresses that only providers write to.
      if isService(recipient) {
        discarded.append(recipient)
      } else if arrival.unknownMailboxes.contains(address) {
        unknown.append(recipient)
      } else {
        switch point.ordinaryMail.action(for: recipient, isForged: isForged, choices: arrival.choices) {
        case .refuse: refused.append(recipient)
        case .discard: discarded.append(recipient)
        case .anomaly: enveloped.append(recipient)
        case .forward(let target):
          if MailLoop.wasForwarded(by: recipient, arrival.message.facts.header) {
            refused.append(recipient)
          } else {
            forwarded.append((recipient, target))
          }
        }
      }
    }
    // Whoever discards loses nothing by a refusal, and the sender of what is refused is told by his own server.
    if enveloped.isEmpty, forwarded.isEmpty, discarded.isEmpty || !(refused + unknown).isEmpty {
      verdict = refusal(refused: refused, unknown: unknown)
      log(.ordinaryRefused, refused + unknown)
      return
    }
    if !enveloped.isEmpty { envelop(enveloped) }
    forward(forwarded)
    log(.ordinaryDiscarded, discarded)
    tell(refused: refused, unknown: unknown, isForged: isForged)
  }

  private func isService(_ recipient: String) -> Bool {
    ASCII.equal(recipient, point.provider.serviceAddress) || ASCII.equal(recipient, point.serviceMailbox)
  }

  /// Nobody wants it, and nothing was promised: the sending server keeps it and tells its user.
  private func refusal(refused: [String], unknown: [String]) -> Verdict {
    if refused.isEmpty { return Verdict(code: 550, enhanced: "5.1.1", text: "No such mailbox here: \(unknown.joined(separator: ", "))") }
    let reason = judgement.reasons.first?.english ?? "it is ordinary mail"
    return Verdict(code: 550, enhanced: "5.7.1", text: "Certified mail only: this message is not accepted, \(reason)")
  }

  private mutating func forward(_ ways: [(from: String, to: String)]) {
    for way in ways {
      let id = nextID()
      let reception = ReceptionRecord(
        id: id, instant: arrival.instant, kind: .ordinary, facts: uncertified(id: id, recipients: [way.from]), recipients: [way.from],
        provider: "", fingerprint: "")
      changes.append(.reception(reception))
      // Who forwards once marks it, and does not forward it again (as RFC 9228 has it).
      let mark = Array("Delivered-To: \(way.from)\r\n".utf8)
      pass(.ordinary, messageID: arrival.message.claim.messageID ?? id, to: [way.to], reception, under: mark)
    }
  }

  private mutating func log(_ kind: EventKind, _ recipients: [String]) {
    guard !recipients.isEmpty else { return }
    var event = uncertified(id: id, recipients: recipients).event(kind, at: arrival.instant, by: "", made: [])
    event.detail = judgement.reasons.map(\.english).joined(separator: "; ")
    // Strangers' words in a log that is never shortened.
    event.subject = event.subject.map { String($0.prefix(200)) }
    changes.append(.event(event))
  }

  /// Some recipients took it and some did not, and there is one answer for all: the sender learns of the others by a report.
  private mutating func tell(refused: [String], unknown: [String], isForged: Bool) {
    let failures =
      refused.map { (recipient: $0, status: "5.7.1", diagnostic: "this mailbox takes certified mail only") }
      + unknown.map { (recipient: $0, status: "5.1.1", diagnostic: "no such mailbox here") }
    guard !failures.isEmpty else { return }
    log(.ordinaryRefused, refused + unknown)
    let sender = arrival.message.reversePath
    // Nobody is told of what he did not send, and nothing unsigned goes into a mailbox of ours.
    guard !sender.isEmpty, !isForged, point.routing.route(for: sender) != .mailbox else { return }
    let message = point.composer.deliveryReport(
      reporting: point.hostname, to: sender, id: id, failures: failures, original: arrival.message.facts.header, at: arrival.instant)
    let reportID = nextID()
    let reception = ReceptionRecord(
      id: reportID, instant: arrival.instant, kind: .ordinary, facts: uncertified(id: reportID, recipients: refused + unknown),
      recipients: refused + unknown, provider: "", fingerprint: "")
    changes.append(.reception(reception))
    messages.append(point.report(message, to: sender, matter: Matter(reception), at: arrival.instant))
  }
}
