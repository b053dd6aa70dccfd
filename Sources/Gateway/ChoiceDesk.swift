import Configuration
import Journey
import Ledger
import Logging
import MIMEStream
import Octets
import PEC
import Reception
import Synchronization
import Threading

/// Keeps what holders have chosen: durable in the ledger, and as a snapshot that any thread may take.
final class ChoiceDesk: Sendable {
  private let current: Mutex<HolderChoices>
  /// Held from the judgement of a change to its commit, so that two changes do not cross; readers of the snapshot never wait for it.
  private let changing = Mutex(())

  /// What the ledger has; throws when it cannot be read.
  init(_ ledger: Ledger) throws(LedgerError) {
    var choices = HolderChoices()
    for stored in try ledger.choices() { choices[stored.holder] = stored.choice }
    current = Mutex(choices)
  }

  /// What is chosen now: immutable, and good for a whole transaction.
  var snapshot: HolderChoices { current.withLock { $0 } }

  /// Makes a change that an operator asks for, and answers when it is durable and holds.
  func change(
    _ asked: ChoiceChange, by person: Operator, _ shared: SharedState, _ answer: @escaping @Sendable (ControlAnswer) -> Void
  ) {
    // Not on the lane that asked: it waits for the disk.
    WorkerThread(name: "choices") {
      answer(self.changing.withLock { _ in self.make(asked, by: person, shared) })
    }.detach()
  }

  private func make(_ asked: ChoiceChange, by person: Operator, _ shared: SharedState) -> ControlAnswer {
    let accepted: AcceptedChoice
    do throws(ChoiceFault) {
      accepted = try shared.points.judge(
        asked, of: snapshot, directory: shared.index.snapshot, isUnknown: { shared.mailboxIsUnknown($0) })
    } catch { return ControlAnswer(ok: false, message: error.description) }
    guard let words = accepted.words else { return ControlAnswer(ok: true, message: "\(accepted.holder): nothing changes") }
    let now = shared.now()
    let row = EventRecord(aboutTheLog: .choiceChanged, "by \(person): \(words)", by: shared.points.provider.name, at: now)
    let done = Handoff<String>()
    shared.committer.perform(
      .record([.choice(accepted.after, of: accepted.holder, changedAt: now.unixSeconds), .event(row)]) { failure in
        done.send(failure ?? "")
      })
    let failure = done.take(atMost: 1)?.first ?? "no word of the commit"
    guard failure.isEmpty else { return ControlAnswer(ok: false, message: "nothing changed: \(failure)") }
    current.withLock { $0[accepted.holder] = accepted.after }
    shared.logger.notice("a holder's choice was changed by \(person): \(words)")
    return ControlAnswer(ok: true, message: words)
  }
}

extension DeliveryRun {
  /// Octets of an anomaly envelope in which the header of what it holds is looked for.
  private static let headerBytes = 128 << 10

  /// True when a machine sent what an anomaly envelope holds, or when that cannot be told: then nobody is told of it. Looked at only where
  /// somebody wants to be.
  static func isAutomatic(_ entry: QueueEntry, _ fates: [RecipientFate], _ choices: HolderChoices, on lane: Lane) -> Bool {
    let isTold = fates.contains { fate in
      if case .delivered = fate.outcome { choices.noticeOfAnomalies(for: fate.recipient).value } else { false }
    }
    guard entry.kind == .anomaly, entry.route == .mailbox, isTold else { return false }
    let limits = lane.shared.points.limits.message
    guard let octets = try? BodyContent.stored(entry.content).octets(in: 0..<min(entry.bytes, headerBytes), spool: lane.shared.spool)
    else { return true }
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: Composer.boundaryPrefix, checksLines: false)
    walker.feed(octets.span)
    let parts = walker.finish().parts
    guard let range = parts.first(where: { $0.isMessageRoot && $0.parent != nil })?.headerRange, range.upperBound <= octets.count else {
      return true
    }
    return MailLoop.isAutomatic(HeaderFacts.parse(Array(octets[range]), limits: limits).header)
  }
}

extension Gateway {
  /// The points of a provider as a configuration has them: what the gateway decides by, for commands that say what it would decide.
  public static func points(of configuration: GatewayConfiguration) -> ProviderPoints { GatewayParts.points(configuration) }
}
