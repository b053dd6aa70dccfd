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
        deliveries.append(
          MaildirDelivery(
            address: recipient, uniqueName: job.uniqueName, content: job.content, returnPath: job.sender,
            checkExisting: job.mayBeThere))
        places.append((index, recipient))
      }
    }
    for (place, result) in zip(places, maildir.deliverAll(deliveries)) {
      let outcome: RecipientFate.Outcome
      switch result {
      case .success(let stored): outcome = .delivered(stored == .alreadyThere ? "2.0.0 was stored before" : "2.0.0 stored")
      case .failure(let error):
        outcome =
          error.isTemporary ? .later("\(error)") : .failed(.refused(code: 550, enhanced: "5.2.0", text: "\(error)"), text: "\(error)")
      }
      fates[place.job].append(RecipientFate(recipient: place.recipient, outcome: outcome))
    }
    for (index, job) in batch.enumerated() { job.address.send(.mailbox(fates[index])) }
  }
}
