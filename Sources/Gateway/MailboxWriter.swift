import Accounts
import Journey
import Mailstore
import Octets
import Threading

/// A message for mailboxes of our own.
struct MailboxJob: Sendable {
  var recipients: [String]
  /// Envelope sender, for the Return-Path line of final delivery (RFC 5321 §4.4).
  var sender: String
  /// Same message, same name: a second delivery finds the first.
  var uniqueName: String
  var content: [Chunk]
  /// True when it may have been stored before without our remembering it.
  var mayBeThere: Bool
  /// Recipients whose mailboxes have no room: what becomes of each when the message is not there already.
  var full: [RecipientFate] = []
  var address: ReturnAddress
}

/// The thread that writes into the built-in Maildirs, in batches that share their syncs.
final class MailboxWriter: Sendable {
  private let queue: Handoff<MailboxJob>
  private let thread: WorkerThread

  /// - Parameter own: the mailboxes that are nobody's: the service mailbox, and the one for requests.
  init(maildir: Maildir, accounts: Accounts, own: [String]) {
    let queue = Handoff<MailboxJob>()
    self.queue = queue
    thread = WorkerThread(name: "mailboxes") {
      while let batch = queue.take(atMost: 128) {
        MailboxWriter.perform(batch, maildir) { recipient in
          accounts.exists(recipient) || own.contains { ASCII.equal($0, recipient) }
        }
      }
    }
  }

  func deliver(_ job: MailboxJob) {
    if !queue.send(job) { job.address.send(.failed("the gateway is stopping")) }
  }

  func finish() {
    queue.close()
    thread.join()
  }

  private static func perform(_ batch: [MailboxJob], _ maildir: Maildir, exists: (String) -> Bool) {
    var deliveries: [MaildirDelivery] = []
    var places: [(job: Int, recipient: String)] = []
    var fates = [[RecipientFate]](repeating: [], count: batch.count)
    for (index, job) in batch.enumerated() {
      for recipient in job.recipients {
        guard exists(recipient) else {
          fates[index].append(RecipientFate(recipient: recipient, outcome: .failed(.noMailbox, text: "no such mailbox here")))
          continue
        }
        var delivery = MaildirDelivery(
          address: recipient, uniqueName: job.uniqueName, content: job.content, returnPath: job.sender, checkExisting: job.mayBeThere)
        delivery.isLookedFor = job.full.contains { $0.recipient == recipient }
        deliveries.append(delivery)
        places.append((index, recipient))
      }
    }
    for (place, result) in zip(places, maildir.deliverAll(deliveries)) {
      let outcome: RecipientFate.Outcome
      switch result {
      case .success(.stored): outcome = .delivered("2.0.0 stored")
      case .success(.alreadyThere): outcome = .delivered("2.0.0 was stored before")
      case .success(.absent):
        outcome = batch[place.job].full.first { $0.recipient == place.recipient }?.outcome ?? .later("looked for, and not there")
      case .failure(let error):
        outcome =
          error.isTemporary ? .later("\(error)") : .failed(.refused(code: 550, enhanced: "5.2.0", text: "\(error)"), text: "\(error)")
      }
      fates[place.job].append(RecipientFate(recipient: place.recipient, outcome: outcome))
    }
    for (index, job) in batch.enumerated() { job.address.send(.mailbox(fates[index])) }
  }
}
