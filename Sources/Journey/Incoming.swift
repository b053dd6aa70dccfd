import Limits
import MIMEStream
import Octets
import PEC
import Reception
import ScanWire

/// A message that came in at the incoming point, examined, with everything its machine may not find out by itself.
public struct IncomingArrival: Sendable {
  /// The message and what the verifier found.
  public var message: ReceivedMessage
  /// What the virus scanner found.
  public var scan: ScanOutcome
  public var instant: Instant
  /// Running number of the message in this process.
  public var sequence: UInt64
  public var random: RandomBits
  /// The provider index at that instant.
  public var directory: ProviderDirectory
  /// Address of the sending server; where a listed peer hands on what came to it, of the server that sent it there.
  public var peer: String
  /// Its host name, where a listed peer names it.
  public var peerName: String?
  /// How it called itself.
  public var helo: String
  /// How far our own transaction of the message's PEC id has come, by recipient in lower case; empty when there is none.
  public var progress: [String: RecipientEnd?]
  /// Our own transaction of the message's PEC id; nil when there is none.
  public var transaction: TransactionRecord?
  /// Recipients, in lower case, of whom it is certain that they have no mailbox here.
  public var unknownMailboxes: Set<String>
  /// What holders have chosen, at that instant.
  public var choices: HolderChoices

  /// A message that came in at this instant.
  public init(
    message: ReceivedMessage, scan: ScanOutcome, instant: Instant, sequence: UInt64, random: RandomBits, directory: ProviderDirectory,
    peer: String, peerName: String? = nil,
    helo: String, progress: [String: RecipientEnd?] = [:], transaction: TransactionRecord? = nil, unknownMailboxes: Set<String> = [],
    choices: HolderChoices = HolderChoices()
  ) {
    self.choices = choices
    self.transaction = transaction
    self.message = message
    self.scan = scan
    self.instant = instant
    self.sequence = sequence
    self.random = random
    self.directory = directory
    self.peer = peer
    self.peerName = peerName
    self.helo = helo
    self.progress = progress
    self.unknownMailboxes = unknownMailboxes
  }
}

/// The life of a message at the incoming point, from its last octet to the 250: judged, signed for, committed, answered.
///
/// RFC 6109 §2.2.2, §3.2; the decision table of `pec-rules` 6.3. The take-charge receipt and the message's own queue entries become
/// durable in one commit, and only then is the sending server answered.
public struct IncomingJourney: Sendable {
  /// What happened.
  public enum Event: Sendable {
    case examined(IncomingArrival)
    case quotas([QuotaAnswer])
    case signed([[UInt8]])
    case signingFailed(String)
    case committed
    case commitFailed(String)
  }

  private enum State: Sendable {
    case expectingMessage
    case asking(IncomingWork, [String])
    case signing(IncomingWork)
    case committing(Verdict)
    case done
  }

  private let point: ProviderPoints
  private var state = State.expectingMessage
  /// What the message was taken for, once it was examined.
  public private(set) var judgement: Judgement?
  /// Our identifier of the reception, once it was examined.
  public private(set) var id: String?

  /// A journey that has not begun.
  public init(at point: ProviderPoints) { self.point = point }

  /// Moves on and says what to do. An event that cannot happen in a state is our own fault and traps.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingMessage, .examined(let arrival)):
      return decide(arrival)
    case (.asking(var work, let mailboxes), .quotas(let answers)):
      precondition(answers.count == mailboxes.count, "as many answers as mailboxes")
      for (mailbox, answer) in zip(mailboxes, answers) { work.quotas[ASCII.lowercased(mailbox)] = answer }
      work.decide()
      return go(on: work)
    case (.signing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing(work.verdict)
      return [.commit(work.plan(signatures))]
    case (.committing(let verdict), .committed): return end(verdict)
    case (.signing, .signingFailed), (.committing, .commitFailed):
      // Nothing is durable, so nothing was promised: the sending server keeps the message and tries again.
      return end(Verdict(code: 451, enhanced: "4.3.0", text: "Message not taken, try again later"))
    case (.expectingMessage, .quotas), (.expectingMessage, .signed), (.expectingMessage, .signingFailed),
      (.expectingMessage, .committed), (.expectingMessage, .commitFailed),
      (.asking, .examined), (.asking, .signed), (.asking, .signingFailed), (.asking, .committed), (.asking, .commitFailed),
      (.signing, .examined), (.signing, .quotas), (.signing, .committed), (.signing, .commitFailed),
      (.committing, .examined), (.committing, .quotas), (.committing, .signed), (.committing, .signingFailed),
      (.done, .examined), (.done, .quotas), (.done, .signed), (.done, .signingFailed), (.done, .committed), (.done, .commitFailed):
      preconditionFailure("an incoming message's journey was told \(event) in the wrong state")
    }
  }

  private mutating func end(_ verdict: Verdict) -> [Effect] {
    state = .done
    return [.reply(verdict), .releaseOriginal, .finished]
  }

  /// What was decided is signed and committed, as far as anything is to be.
  private mutating func go(on work: IncomingWork) -> [Effect] {
    if work.isNothing { return end(work.verdict) }
    if work.drafts.isEmpty {
      state = .committing(work.verdict)
      return [.commit(work.plan([]))]
    }
    state = .signing(work)
    return [.sign(work.drafts.map(\.draft), at: work.arrival.instant)]
  }

  private mutating func decide(_ arrival: IncomingArrival) -> [Effect] {
    let check = IncomingCheck(
      directory: arrival.directory, ownDomains: point.routing.ownDomains, serviceMailbox: point.serviceMailbox,
      serviceAddress: point.provider.serviceAddress, limits: point.limits.message)
    let judgement = check.judge(arrival.message, at: arrival.instant)
    self.judgement = judgement
    var work = IncomingWork(arrival, judgement, at: point)
    id = work.id
    if MailLoop.isLooping(arrival.message.facts.header) {
      work.verdict = Verdict(code: 554, enhanced: "5.4.6", text: "Too many hops: this message goes in a circle")
      return end(work.verdict)
    }
    switch point.security.decide(arrival.scan) {
    case .pass(let note):
      work.note = note
      // Only ordinary mail may be refused: an envelope is taken in charge, and its sender gets a notice (RFC 6109 §3.2, §3.3.3).
      if case .ordinary(let isForged) = judgement.treatment {
        let mailboxes = work.mailboxesWithQuota(isForged: isForged)
        if !mailboxes.isEmpty {
          state = .asking(work, mailboxes)
          return [.askQuota(mailboxes, bytes: work.envelopeBytes(mailboxes))]
        }
      }
      work.decide()
    case .stop(let threat): work.takeInfected(threat)
    case .hold(let threat): work.hold(threat)
    case .retry: work.verdict = Verdict(code: 451, enhanced: "4.7.1", text: "The virus scanner is not available, try again later")
    }
    return go(on: work)
  }
}
