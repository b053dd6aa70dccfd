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
    var full: [Full] = []
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
        case .anomaly:
          if let answer = quotas[address], case .full(let code, let enhanced, let text) = answer {
            full.append(Full(recipient: recipient, reply: Verdict(code: code, enhanced: enhanced, text: text)))
          } else {
            enveloped.append(recipient)
          }
        case .forward(let target):
          if MailLoop.wasForwarded(by: recipient, arrival.message.facts.header) {
            refused.append(recipient)
          } else {
            forwarded.append((recipient, target))
          }
        }
      }
    }
    // Of nobody who wants it is it known that he has room, and nothing was promised.
    if forwarded.isEmpty, !enveloped.isEmpty, enveloped.allSatisfy(isUnsure) {
      verdict = Verdict(code: 451, enhanced: "4.3.0", text: "Whether the mailbox has room cannot be said at present, try again later")
      return
    }
    // Whoever discards loses nothing by a refusal, and the sender of what is refused is told by his own server.
    if enveloped.isEmpty, forwarded.isEmpty, discarded.isEmpty || !(refused + unknown).isEmpty || !full.isEmpty {
      verdict = refused.isEmpty && unknown.isEmpty ? full.first?.reply ?? verdict : refusal(refused: refused, unknown: unknown)
      log(.ordinaryRefused, refused + unknown)
      logFull(full)
      return
    }
    if !enveloped.isEmpty { envelop(enveloped) }
    forward(forwarded)
    log(.ordinaryDiscarded, discarded)
    tell(refused: refused, unknown: unknown, full: full, isForged: isForged)
  }

  /// A mailbox that would take it and has no room.
  private struct Full {
    var recipient: String
    var reply: Verdict
  }

  /// Mailboxes that this ordinary mail would go into and whose room is bounded.
  func mailboxesWithQuota(isForged: Bool) -> [String] {
    guard point.asksQuota else { return [] }
    return judgement.recipients.filter { recipient in
      point.hasQuota(recipient) && !arrival.unknownMailboxes.contains(ASCII.lowercased(recipient))
        && point.ordinaryMail.action(for: recipient, isForged: isForged, choices: arrival.choices) == .anomaly
    }
  }

  /// Octets that would be delivered: the anomaly envelope, without a signature that is not made for what is refused.
  func envelopeBytes(_ recipients: [String]) -> Int {
    var trial = self
    trial.envelop(recipients)
    return trial.drafts.reduce(0) { $0 + $1.draft.head.count + $1.draft.signedBytes + $1.draft.tail(signature: []).count }
  }

  /// True where it was asked whether a mailbox has room, and nobody could say.
  private func isUnsure(_ recipient: String) -> Bool {
    if case .unknown = quotas[ASCII.lowercased(recipient)] { true } else { false }
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
    log(kind, recipients, because: judgement.reasons.map(\.english).joined(separator: "; "))
  }

  private mutating func logFull(_ full: [Full]) {
    let words = Set(full.map { "\($0.reply.enhanced) \($0.reply.text)" }).sorted().joined(separator: "; ")
    log(.ordinaryRefused, full.map(\.recipient), because: words)
  }

  private mutating func log(_ kind: EventKind, _ recipients: [String], because detail: String) {
    guard !recipients.isEmpty else { return }
    var event = uncertified(id: id, recipients: recipients).event(kind, at: arrival.instant, by: "", made: [])
    event.detail = detail
    // Strangers' words in a log that is never shortened.
    event.subject = event.subject.map { String($0.prefix(200)) }
    changes.append(.event(event))
  }

  /// Some recipients took it and some did not, and there is one answer for all: the sender learns of the others by a report.
  private mutating func tell(refused: [String], unknown: [String], full: [Full], isForged: Bool) {
    let failures =
      refused.map { (recipient: $0, status: "5.7.1", diagnostic: "this mailbox takes certified mail only") }
      + unknown.map { (recipient: $0, status: "5.1.1", diagnostic: "no such mailbox here") }
      + full.map { (recipient: $0.recipient, status: $0.reply.enhanced, diagnostic: "\($0.reply.code) \($0.reply.text)") }
    guard !failures.isEmpty else { return }
    log(.ordinaryRefused, refused + unknown)
    logFull(full)
    let sender = arrival.message.reversePath
    // Nobody is told of what he did not send, and nothing unsigned goes into a mailbox of ours.
    guard !sender.isEmpty, !isForged, point.routing.route(for: sender) != .mailbox else { return }
    let message = point.composer.deliveryReport(
      reporting: point.hostname, to: sender, id: id, failures: failures, original: arrival.message.facts.header, at: arrival.instant)
    let reportID = nextID()
    let untold = failures.map(\.recipient)
    let reception = ReceptionRecord(
      id: reportID, instant: arrival.instant, kind: .ordinary, facts: uncertified(id: reportID, recipients: untold),
      recipients: untold, provider: "", fingerprint: "")
    changes.append(.reception(reception))
    messages.append(point.report(message, to: sender, matter: Matter(reception), at: arrival.instant))
  }
}
