import Journey
import Ledger
import Octets
import PEC

/// What a trace says in words.
enum TraceWords {
  static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// `5 s`, `3 m`, `2 h 10 m`, `3 d`.
  static func span(_ seconds: Int64) -> String {
    let seconds = max(0, seconds)
    if seconds < 120 { return "\(seconds) s" }
    if seconds < 7200 { return "\(seconds / 60) m" }
    if seconds < 172_800 { return seconds / 60 % 60 == 0 ? "\(seconds / 3600) h" : "\(seconds / 3600) h \(seconds / 60 % 60) m" }
    return "\(seconds / 86_400) d"
  }

  /// A row of the log.
  static func words(_ event: EventRecord) -> String {
    var parts: [String] = []
    if let recipient = event.recipient { parts.append(recipient) }
    if let error = event.error, error != CertificationError.none.rawValue { parts.append("error \(error)") }
    if let detail = event.detail, !detail.isEmpty { parts.append(detail) }
    if let made = event.relatedIDs.first, made != event.pecID { parts.append("[\(made)]") }
    return parts.isEmpty ? "\(event.bytes) octets" : parts.joined(separator: "; ")
  }

  /// A deadline that runs.
  static func words(_ watch: DeadlineWatch, now: Int64) -> String {
    let what = watch.stage == .first ? "the 12 h notice" : "the 24 h notice"
    let condition =
      watch.stage == .first ? "for whoever is neither taken in charge nor settled by then" : "for whoever is not settled by then"
    let time = QueueCommands.time(watch.dueAt)
    return watch.dueAt > now
      ? "\(what) goes out at \(time), in \(span(watch.dueAt - now)), \(condition)" : "\(what) is due since \(time), \(condition)"
  }

  /// An entry of the queue.
  static func words(_ entry: QueueEntry, now: Int64) -> String {
    var parts = ["\(entry.kind.rawValue) by \(entry.route.text) to \((entry.recipients + entry.awaiting).joined(separator: ", "))"]
    parts.append(attempts(entry, now))
    return parts.joined(separator: ": ")
  }

  private static func attempts(_ entry: QueueEntry, _ now: Int64) -> String {
    if entry.recipients.isEmpty { return "the mailbox server took it, and its delivery report is awaited" }
    let next = entry.dueAt <= now ? "now" : "in \(span(entry.dueAt - now))"
    guard entry.attempts > 0 else { return "the first attempt is \(next)" }
    return "\(entry.attempts) attempts, the next \(next); last: \(entry.lastError ?? "no word")"
  }

  /// Why there is no receipt, or where it is.
  static func fate(
    _ status: RecipientStatus, _ events: [EventRecord], _ entries: [QueueEntry], _ watch: DeadlineWatch?, isAccepted: Bool, now: Int64
  ) -> MessageTrace.Fate {
    let address = status.recipient.address
    return MessageTrace.Fate(
      address: address, recipientClass: status.recipient.recipientClass.rawValue, state: status.state.rawValue,
      since: QueueCommands.time(status.changedAt), why: why(status, Story(address, events, entries), isAccepted: isAccepted, now: now))
  }

  /// What concerns one recipient.
  private struct Story {
    var events: [EventRecord]
    /// The message itself on its way to him.
    var way: QueueEntry?
    /// Receipts and notices that still wait to be delivered to the sender.
    var receipts: [QueueEntry]

    init(_ address: String, _ events: [EventRecord], _ entries: [QueueEntry]) {
      self.events = events.filter { event in event.recipient.map { ASCII.equal($0, address) } ?? false }
      way = entries.first { entry in
        (entry.kind == .envelope || entry.kind == .anomaly || entry.kind == .ordinary)
          && (entry.recipients + entry.awaiting).contains { ASCII.equal($0, address) }
      }
      receipts = entries.filter { [.deliveryComplete, .deliveryBrief, .deliveryConcise, .nonDelivery].contains($0.kind) }
    }

    func last(_ kinds: EventKind...) -> EventRecord? { events.last { kinds.contains($0.kind) } }
  }

  private static func why(_ status: RecipientStatus, _ story: Story, isAccepted: Bool, now: Int64) -> String {
    if !isAccepted { return "The message was not accepted: nothing was sent to anybody, and the sender has a notice that says why." }
    switch status.state {
    case .delivered:
      guard let receipt = story.receipts.first else { return "It is in the mailbox, and the receipt went to the sender." }
      return "It is in the mailbox; the receipt is made and waits to be delivered to the sender (\(attempts(receipt, now)))."
    case .failed:
      let reason = story.last(.nonDelivery, .virusNonDelivery, .dropped)
      return "It will not be delivered\(reason?.detail.map { ": \($0)" } ?? ""); the sender has a notice instead of a receipt."
    case .refused: return "The message was not accepted: nothing was sent to him."
    case .open:
      if let way = story.way { return "It has not left us yet: \(attempts(way, now))." }
      return "It has not left us yet, and nothing in the queue would take it: look at the log lines of that time."
    case .relayed:
      let sent = story.last(.envelopeSent)
      let reply = sent?.detail.map { " with the words \"\($0)\"" } ?? ""
      if status.recipient.recipientClass == .ordinary {
        return "The next hop took it\(reply). Ordinary mail: no receipt will come."
      }
      return
        "The next hop took it \(span(now - status.changedAt)) ago\(reply), and his provider has not answered since: neither take-charge "
        + "nor delivery has come back. " + silence(story)
    case .takenInCharge:
      if let way = story.way {
        let awaits = way.awaiting.contains { ASCII.equal($0, status.recipient.address) }
        return awaits
          ? "The mailbox server took it and has not yet reported that it is in the mailbox."
          : "It is not in the mailbox yet: \(attempts(way, now))."
      }
      return
        "His provider has had it in charge for \(span(now - status.changedAt)) and has not said that it is in the mailbox: no delivery "
        + "receipt has come back. " + silence(story)
    }
  }

  private static func silence(_ story: Story) -> String {
    if story.last(.timeoutSecond) != nil { return "The sender was told after 24 hours; a receipt may still come." }
    if story.last(.timeoutFirst) != nil { return "The sender was told after 12 hours." }
    return "The sender is told when the deadline below passes."
  }
}
